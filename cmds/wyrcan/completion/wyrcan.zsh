#compdef wyrcan
# Completion of wyrcan for zsh: wyrcan itself says what a word may become.
_wyrcan() {
	local -a found done more shown_done shown_more
	local line word about
	found=("${(@f)$("${(@Q)words[1]}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
	for line in "${(@)found[2,-1]}"; do
		word=${line%%$'\t'*} about=${line#*$'\t'}
		[[ -n $about ]] && about="$word  -- $about" || about=$word
		if [[ $word == *[:=/] ]]; then
			more+=("$word") shown_more+=("$about")
		else
			done+=("$word") shown_done+=("$about")
		fi
	done
	(($#done)) && compadd -l -d shown_done -- "${done[@]}"
	(($#more)) && compadd -S '' -l -d shown_more -- "${more[@]}"
	[[ ${found[1]} == files ]] && _files
	return 0
}
# The file is either sourced, or the body of the function.
if [[ ${funcstack[1]} == _wyrcan ]]; then
	_wyrcan "$@"
else
	compdef _wyrcan wyrcan
fi
