import type { Command } from "commander"
import { print } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

// The scripts only ask: what could come next is worked out by `ovm __complete` from the same definitions that parse the
// command line, so that they need not be written anew with each release.

// Bash breaks words at colons, which names have: the words are taken from the line, and what stands before the last
// break of the one under the cursor is left out of the answers.
const BASH = `# bash completion for ovm
_ovm() {
  local typed="\${COMP_LINE:0:COMP_POINT}" word breaks line kept at
  local -a words lines files
  read -ra words <<< "$typed"
  case "$typed" in *[[:space:]]) words+=("") ;; esac
  word="\${words[-1]}"
  breaks="\${COMP_WORDBREAKS//[^:=]/}"
  kept="$word"
  if [ -n "$breaks" ]; then kept="\${word##*[$breaks]}"; fi
  at=$((\${#word} - \${#kept}))
  mapfile -t lines < <("\${COMP_WORDS[0]}" __complete -- "\${words[@]:1}" 2>/dev/null)
  COMPREPLY=()
  for line in "\${lines[@]}"; do
    if [ "$line" = ":files" ]; then
      mapfile -t files < <(compgen -f -- "$word")
    else
      line="\${line%%$'\\t'*}"
      COMPREPLY+=("\${line:at}")
    fi
  done
  # Of names that are no files a slash is no folder.
  if [ "\${#COMPREPLY[@]}" = 0 ]; then compopt -o filenames 2>/dev/null; fi
  for line in "\${files[@]}"; do COMPREPLY+=("\${line:at}"); done
}
complete -o nosort -F _ovm ovm
`

const ZSH = `#compdef ovm
# zsh completion for ovm
_ovm() {
  local line
  local -a lines described
  lines=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in "\${lines[@]}"; do
    if [[ "$line" = ":files" ]]; then
      _files
    elif [[ -n "$line" ]]; then
      described+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
    fi
  done
  (( \${#described} )) && _describe -V ovm described
}
if [ "\${funcstack[1]}" = "_ovm" ]; then _ovm "$@"; else compdef _ovm ovm; fi
`

const FISH = `# fish completion for ovm
function __ovm_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    for line in ($program __complete -- $words "$current" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path $current
        else
            echo $line
        end
    end
end
complete -c ovm -f -k -a '(__ovm_complete)'
`

const SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH }

export function define(command: Command): void {
  command
    .addArgument(command.createArgument("<shell>").choices(Object.keys(SCRIPTS)))
    .action((shell: keyof typeof SCRIPTS) => print(SCRIPTS[shell]))
  examples(
    command,
    "# bash, in ~/.bashrc:",
    "source <(ovm completion bash)",
    "# zsh, in ~/.zshrc after compinit:",
    "source <(ovm completion zsh)",
    "# fish:",
    "ovm completion fish > ~/.config/fish/completions/ovm.fish",
  )
}
