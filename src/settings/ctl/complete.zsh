# Words and live keys of `retune ctl`.
# $1: the position of the first word after ctl; the rest: the arguments that make the program list keys.
_retune_ctl() {
    local -i at=$1 count=0
    shift
    local command= all= word
    local -a given
    while ((at < CURRENT)); do
        word=${(Q)words[at]}
        case $word in
        (@VALUED@)
            ((at + 1 < CURRENT)) || return 1
            given+=("$word" "${(Q)words[at+1]}")
            ((at += 2))
            continue
            ;;
        (-*) given+=("$word") ;;
        (*)
            command=$word
            break
            ;;
        esac
        ((at += 1))
    done
    for ((at += 1; at < CURRENT; at++)); do
        [[ ${words[at]} == -* ]] || ((count += 1))
    done
    if [[ -z $command ]]; then
        all="@COMMANDS@"
        [[ $PREFIX == -* ]] && all="@GLOBAL@"
    elif [[ $PREFIX == -* ]]; then
        case $command in
@OPTIONS@
        esac
    else
        case $command in
        (member) ((count == 0)) && all="@MEMBER@" ;;
        (@KEYS@) _retune_ctl_keys "$@" "${given[@]}"; return ;;
        (@FILE_AND_KEY@)
            if ((count == 0)); then _files; else _retune_ctl_keys "$@" "${given[@]}"; fi
            return
            ;;
        esac
    fi
    [[ -n $all ]] && compadd -- ${=all}
}

_retune_ctl_keys() {
    local -a keys
    keys=(${(f)"$(command ${(Q)words[1]} "$@" complete-keys -- "${(Q)PREFIX}" 2>/dev/null)"})
    compadd -S '' -- ${(M)keys:#*/}
    compadd -- ${keys:#*/}
}
