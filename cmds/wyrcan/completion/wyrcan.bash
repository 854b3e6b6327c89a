# Completion of wyrcan for bash: wyrcan itself says what a word may become.
_wyrcan() {
	local line=${COMP_LINE:0:COMP_POINT} words found word cut
	COMPREPLY=()
	# Bash has split the words at : and = as well, which are within a word here.
	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	while ((${#words[@]} > 1)) && [[ ${words[0]} != "$1" ]]; do
		words=("${words[@]:1}")
	done
	mapfile -t found < <("$1" __complete "${words[@]:1}" 2>/dev/null)
	[[ ${found[0]} == files ]] && compopt -o default
	# Readline replaces what comes after the last of these characters.
	word=${words[-1]}
	cut=${word%"${word##*["${COMP_WORDBREAKS//[^:=]/}"]}"}
	[[ $COMP_WORDBREAKS == *[:=]* ]] || cut=
	for line in "${found[@]:1}"; do
		word=${line%%$'\t'*}
		[[ $word == *[:=/] ]] && compopt -o nospace
		COMPREPLY+=("${word#"$cut"}")
	done
}
complete -F _wyrcan wyrcan
