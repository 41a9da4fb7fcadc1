import type { Command } from "commander"

/**
 * Options are `command`'s own until its argument number `last`, and from there on whatever stands there is an argument:
 * what commander does with `passThroughOptions`, for a first argument alone.
 */
export function optionsUntil(command: Command, last: number): void {
  command.passThroughOptions()
  const parse = command.parseOptions.bind(command)
  command.parseOptions = (words) => {
    const operands: string[] = []
    for (let rest = words; ; ) {
      const { operands: found, unknown } = parse(rest)
      if (operands.length + 1 >= last || found.length === 0 || unknown.length > 0)
        return { operands: [...operands, ...found], unknown }
      const [first = "", ...behind] = found
      operands.push(first)
      rest = behind
    }
  }
}
