# Completion of the facteur command for fish. The candidates come from the program itself.
function __facteur_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l candidates (command $words[1] complete -- $words[2..] 2>/dev/null)
    if test "$candidates" = /
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $candidates
    end
end
complete -c facteur -f -a '(__facteur_complete)'
