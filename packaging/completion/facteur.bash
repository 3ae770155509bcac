# Completion of the facteur command for bash. The candidates come from the program itself, so they are never out of date.
_facteur() {
    local IFS=$'\n' candidates
    candidates=$(command "${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [ "$candidates" = "/" ]; then
        compopt -o filenames
        COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
    else
        COMPREPLY=($candidates)
    fi
}
complete -F _facteur facteur
