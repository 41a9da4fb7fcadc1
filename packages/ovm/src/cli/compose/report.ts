import { isTerminal, printable, printError } from "../output.ts"
import { padTo } from "../terminal/columns.ts"

/** Says what becomes of a machine. */
export type Tell = (machine: string, what: string) => void

/** Cyan, yellow, green, magenta, blue: none of them is the red of errors. */
const COLOURS = [36, 33, 32, 35, 34] as const

/** What stands before each line of a machine: its name, each in a colour of its own on a terminal. */
export function prefixes(
  machines: readonly string[],
  { stream, colour = true }: { readonly stream: "stdout" | "stderr"; readonly colour?: boolean },
): (machine: string) => string {
  const widest = Math.max(0, ...machines.map((name) => name.length))
  const coloured = colour && isTerminal(stream) && !process.env.NO_COLOR
  return (machine) => {
    const name = padTo(machine, widest)
    const number = COLOURS[Math.max(0, machines.indexOf(machine)) % COLOURS.length]
    return coloured ? `\x1b[${number}m${name}\x1b[0m` : name
  }
}

/** A line on standard error for each thing that happens; none with `json`. */
export function reporter(machines: readonly string[], { json = false }: { readonly json?: boolean }): Tell {
  if (json) return () => {}
  const prefix = prefixes(machines, { stream: "stderr" })
  return (machine, what) => printError(`${prefix(machine)}  ${printable(what)}\n`)
}
