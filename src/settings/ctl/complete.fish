
# Live keys of `retune ctl`.
function __retune_ctl_keys
    set -l words (commandline -opc)
    set -l given
    set -l command ''
    set -l count 0
    set -l at 3
    while test $at -le (count $words)
        set -l word $words[$at]
        if test -n "$command"
            string match -q -- '-*' $word; or set count (math $count + 1)
        else if string match -qr -- '^(@VALUED@)$' $word
            set at (math $at + 1)
            test $at -le (count $words); or return
            set given $given $word $words[$at]
        else if string match -q -- '-*' $word
            set given $given $word
        else
            set command $word
        end
        set at (math $at + 1)
    end
    if string match -qr -- '^(@KEYS@)$' $command
        or begin
            string match -qr -- '^(@FILE_AND_KEY@)$' $command
            and test $count -gt 0
        end
        command $words[1] ctl $given complete-keys -- (commandline -ct) 2>/dev/null
    end
end
complete -c retune -n '__fish_seen_subcommand_from ctl' -a '(__retune_ctl_keys)'
