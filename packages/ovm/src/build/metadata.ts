import { constants } from "node:os"
import type { Instruction } from "./document.ts"
import { Wrong } from "./faults.ts"
import { healthcheckOf } from "./healthcheck.ts"
import { type MachineSettings, splitVariable, withVariables } from "./settings.ts"
import { expand, splitWords, type VariableLookup } from "./words.ts"

const { signals } = constants
const SHELL = ["/bin/sh", "-c"]
const MOST_PORTS = 1000

interface Context {
  readonly lookup: VariableLookup
  readonly mark: string
  /** CMD was said since the last FROM. */
  readonly saidCmd: boolean
}

/** What the instructions are that write nothing, but for ARG. Undefined for others. Throws Wrong. */
export function withMetadata(
  settings: MachineSettings,
  { keyword, flags, rest }: Instruction,
  { lookup, mark, saidCmd }: Context,
): MachineSettings | undefined {
  const words = () => splitWords(rest, mark).map((word) => expand(word, lookup, mark))
  switch (keyword) {
    case "ENV":
      return { ...settings, Env: withVariables(settings.Env, pairsOf(keyword, rest, { lookup, mark })) }
    case "LABEL": {
      const labels = Object.fromEntries(pairsOf(keyword, rest, { lookup, mark }))
      return { ...settings, Labels: { ...settings.Labels, ...labels } }
    }
    case "USER":
      return { ...settings, User: one(keyword, words()) }
    case "STOPSIGNAL":
      return { ...settings, StopSignal: signalOf(one(keyword, words())) }
    case "CMD":
      return { ...settings, Cmd: commandLineOf(rest, settings) }
    case "ENTRYPOINT": {
      // What the image's CMD was is of its own entry point.
      const { Cmd, ...others } = settings
      const kept = saidCmd && Cmd ? { Cmd } : {}
      return { ...others, ...kept, Entrypoint: commandLineOf(rest, settings) }
    }
    case "SHELL": {
      const Shell = jsonList(rest)
      if (!Shell || Shell.length === 0) throw new Wrong('SHELL is a list in JSON: ["/bin/sh", "-c"]')
      return { ...settings, Shell }
    }
    case "EXPOSE":
      return { ...settings, ExposedPorts: { ...settings.ExposedPorts, ...empties(words().flatMap(portsOf)) } }
    case "VOLUME":
      return { ...settings, Volumes: { ...settings.Volumes, ...empties(jsonList(rest) ?? words()) } }
    case "HEALTHCHECK":
      return { ...settings, Healthcheck: healthcheckOf(rest, flags, (text) => shellOf(text, settings)) }
    default:
      return undefined
  }
}

/** The program and its arguments, by a list in JSON or by the shell. */
export function commandLineOf(rest: string, settings: MachineSettings): readonly string[] {
  return jsonList(rest) ?? [...(settings.Shell ?? SHELL), rest]
}

/** As HEALTHCHECK has it. */
function shellOf(rest: string, { Shell }: MachineSettings): readonly string[] {
  const list = jsonList(rest)
  if (list) return ["CMD", ...list]
  return Shell ? ["CMD", ...Shell, rest] : ["CMD-SHELL", rest]
}

/** Undefined for what is no list of texts: then it is a line for the shell. */
export function jsonList(text: string): readonly string[] | undefined {
  if (!text.startsWith("[")) return undefined
  const list = textsIn(text)
  if (list?.some((one) => one.includes("\0"))) throw new Wrong("a text in it has a zero byte")
  return list
}

function textsIn(text: string): readonly string[] | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) && value.every((one) => typeof one === "string") ? value : undefined
  } catch {
    return undefined
  }
}

/** Of ENV and LABEL: `NAME=VALUE …`, or `NAME` and all that is behind it. */
export function pairsOf(
  keyword: string,
  rest: string,
  { lookup, mark }: Pick<Context, "lookup" | "mark">,
): readonly (readonly [string, string])[] {
  const words = splitWords(rest, mark)
  const value = (word: string) => expand(word, lookup, mark)
  if (!words[0]?.includes("=")) {
    const [, name = "", text = ""] = /^(\S+)\s+(.*)$/s.exec(rest) ?? []
    if (name === "") throw new Wrong(`${keyword} ${rest} has no value`)
    return [[value(name), value(text)]]
  }
  return words.map((word) => {
    const [name, text] = splitVariable(word)
    const said = value(name)
    if (!word.includes("=") || said === "") throw new Wrong(`${keyword}: ${word} is not NAME=VALUE`)
    return [said, value(text)]
  })
}

function one(keyword: string, [word = "", ...more]: readonly string[]): string {
  if (word === "" || more.length > 0) throw new Wrong(`${keyword} is one word`)
  return word
}

/** As it is written, if Linux has one of that name or number. */
function signalOf(text: string): string {
  const [, name = "", real] = /^(?:SIG)?([A-Z0-9]+)([+-]\d{1,2})?$/i.exec(text) ?? []
  const known = real === undefined ? Object.hasOwn(signals, `SIG${name.toUpperCase()}`) : false
  const number = /^\d{1,2}$/.test(text) && Number(text) >= 1 && Number(text) <= 64
  if (known || number || /^RTM(IN|AX)$/i.test(name)) return text
  throw new Wrong(`STOPSIGNAL: ${JSON.stringify(text)} is no signal`)
}

function empties(names: readonly string[]): Readonly<Record<string, Record<string, never>>> {
  if (names.some((name) => name === "")) throw new Wrong("a name in it is empty")
  return Object.fromEntries(names.map((name) => [name, {}]))
}

function portsOf(word: string): readonly string[] {
  const [, from = "", to = from, protocol = "tcp"] =
    /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp))?$/i.exec(word) ?? []
  const [first, last] = [Number(from), Number(to)]
  if (from === "" || first < 1 || last > 65535 || last < first || last - first >= MOST_PORTS)
    throw new Wrong(`EXPOSE: ${JSON.stringify(word)} is no port`)
  return Array.from({ length: last - first + 1 }, (_, at) => `${first + at}/${protocol.toLowerCase()}`)
}
