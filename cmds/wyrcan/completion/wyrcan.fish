# Completion of wyrcan for fish: wyrcan itself says what a word may become.
function __wyrcan_complete
    set -l words (commandline --cut-at-cursor --current-process --tokenize)
    set -l word (commandline --cut-at-cursor --current-token)
    set -l found ($words[1] __complete $words[2..-1] "$word" 2>/dev/null)
    string join \n -- $found[2..-1]
    test "$found[1]" = files
    and __fish_complete_path "$word"
end
complete --command wyrcan --no-files --arguments '(__wyrcan_complete)'
