
# Words and live keys of `retune ctl`, and of etcdctl where that is retune.
# $1: the position of the first word after ctl; the rest: the command that lists keys.
_retune_ctl() {
    local first=$1 line=${COMP_LINE:0:COMP_POINT} command= all= cur word at count=0
    shift
    local -a words=() given=()
    # Not COMP_WORDS: bash breaks words at colons, and endpoints contain them.
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    cur=${words[${#words[@]}-1]}
    unset "words[${#words[@]}-1]"
    COMPREPLY=()
    at=$first
    while ((at < ${#words[@]})); do
        word=${words[at]}
        case $word in
        @VALUED@)
            ((at + 1 < ${#words[@]})) || return 0
            given+=("$word" "${words[at+1]}")
            ((at += 2))
            continue
            ;;
        -*) given+=("$word") ;;
        *)
            command=$word
            break
            ;;
        esac
        ((at += 1))
    done
    for ((at += 1; at < ${#words[@]}; at++)); do
        [[ ${words[at]} == -* ]] || ((count += 1))
    done
    if [[ -z $command ]]; then
        all="@COMMANDS@"
        [[ $cur == -* ]] && all="@GLOBAL@"
    elif [[ $cur == -* ]]; then
        case $command in
@OPTIONS@
        esac
    else
        case $command in
        member) ((count == 0)) && all="@MEMBER@" ;;
        @KEYS@) _retune_ctl_keys "$cur" "$@" "${given[@]}" ;;
        @FILE_AND_KEY@)
            if ((count == 0)); then
                local IFS=$'\n'
                COMPREPLY=($(compgen -f -- "$cur"))
                compopt -o filenames 2>/dev/null
            else
                _retune_ctl_keys "$cur" "$@" "${given[@]}"
            fi
            ;;
        esac
        [[ -z $all ]] && return 0
    fi
    COMPREPLY=($(compgen -W "$all" -- "$cur"))
}

_retune_ctl_keys() {
    local cur=$1 key colon=
    shift
    # The text before the last colon is already on the line.
    [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]] && colon=${cur%"${cur##*:}"}
    while IFS= read -r key; do
        COMPREPLY+=("$(printf %q "${key#"$colon"}")")
    done < <("$@" complete-keys -- "$cur" 2>/dev/null)
    [[ ${COMPREPLY[*]} == */ ]] && compopt -o nospace 2>/dev/null
    return 0
}

_retune_with_keys() {
    if [[ ${COMP_WORDS[1]} == ctl && $COMP_CWORD -gt 1 ]]; then
        _retune_ctl 2 "${COMP_WORDS[0]}" ctl
    else
        _retune "$@"
    fi
}

_retune_as_etcdctl() {
    _retune_ctl 1 "${COMP_WORDS[0]}"
}

complete -F _retune_with_keys -o bashdefault -o default retune
if [[ $(readlink -f "$(type -P etcdctl)" 2>/dev/null) == */retune ]]; then
    complete -F _retune_as_etcdctl -o bashdefault -o default etcdctl
fi
