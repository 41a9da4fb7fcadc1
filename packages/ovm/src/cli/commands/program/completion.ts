import type { Command } from "commander"
import { examples } from "../../examples.ts"
import { print } from "../../output.ts"

// The scripts only ask: what could come next is worked out by `ovm __complete` from the same definitions that parse the
// command line, so that they need not be written anew with each release.

const BASH = `# bash completion for ovm
_ovm() {
  local word=\${COMP_WORDS[COMP_CWORD]} lines line
  mapfile -t lines < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  COMPREPLY=()
  for line in "\${lines[@]}"; do
    if [ "$line" = ":files" ]; then
      mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
    else
      COMPREPLY+=("\${line%%$'\\t'*}")
    fi
  done
  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$word"; fi
}
complete -o filenames -o nosort -F _ovm ovm
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
    for line in ($words[1] __complete -- $words[2..-1] $current 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path $current
        else
            echo $line
        end
    end
end
complete -c ovm -f -a '(__ovm_complete)'
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
