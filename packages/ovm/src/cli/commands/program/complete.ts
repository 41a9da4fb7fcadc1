import { type Argument, Command, type Option } from "commander"
import type { CommandEntry } from "../../command.ts"
import { findDaemon } from "../../daemon.ts"
import { formatSize } from "../../format.ts"
import { print } from "../../output.ts"
import { openStoreToRead } from "../../store.ts"
import { summarize } from "../../summary.ts"

interface Candidate {
  readonly text: string
  readonly about: string
}

/** What a shell is to complete by itself. */
const FILES: Candidate = { text: ":files", about: "" }

const HELP: Candidate = { text: "help", about: "Show the help of a command" }

export function define(command: Command, all: readonly CommandEntry[]): void {
  command
    .argument("[words...]", "the command line after `ovm`, up to the word under the cursor")
    .action((words: readonly string[]) => run(words, all))
}

/** Prints one candidate a line: the word, a tab, what it is. Says nothing rather than fail. */
async function run(words: readonly string[], all: readonly CommandEntry[]): Promise<void> {
  const found = await candidates(words, all).catch(() => [])
  const typed = words.at(-1) ?? ""
  const shown = found.filter(({ text }) => text === FILES.text || text.startsWith(typed))
  print(shown.map(({ text, about }) => (about ? `${text}\t${about}\n` : `${text}\n`)).join(""))
}

async function candidates(
  words: readonly string[],
  all: readonly CommandEntry[],
): Promise<readonly Candidate[]> {
  const helps = words[0] === "help" && words.length > 1
  const [name, ...rest] = helps ? words.slice(1) : words
  if (rest.length === 0) return helps ? commands(all) : [...commands(all), HELP]
  const entry = all.find((known) => known.name === name && !known.hidden)
  if (!entry) return []
  let command = new Command(entry.name)
  ;(await entry.load()).define(command, all)
  const typed = rest.pop() ?? ""
  if (command.commands.length > 0) {
    if (rest.length === 0) return typed.startsWith("-") ? options(command) : below(command)
    const found = command.commands.find((one) => one.name() === rest[0])
    if (!found) return []
    command = found
    rest.shift()
  }
  if (helps) return []
  const awaiting = optionOf(command, rest.at(-1))
  if (awaiting) return ofOption(awaiting)
  if (typed.startsWith("-")) return options(command)
  if (entry.name === "warm") return images("snapshot")
  if (entry.name === "commit") return [...(await instances()), ...(await images("snapshot"))]
  // A path is no name that could be removed.
  return ofArgument(argumentAt(command, rest), entry.name === "rmi" ? [] : [FILES])
}

function commands(all: readonly CommandEntry[]): readonly Candidate[] {
  return all
    .filter((entry) => !entry.hidden)
    .map(({ name, summary }) => ({
      text: name,
      about: summary,
    }))
}

/** The commands below another, as those of `ovm registry`. */
function below(command: Command): readonly Candidate[] {
  return command.commands.map((one) => ({ text: one.name(), about: one.summary() }))
}

function options(command: Command): readonly Candidate[] {
  const own = command.options
    .filter((option) => !option.hidden && option.long)
    .map((option) => ({ text: option.long ?? "", about: option.description }))
  return [...own, { text: "--help", about: "show help" }]
}

/** The option that `word` is, if it waits for a value. */
function optionOf(command: Command, word: string | undefined): Option | undefined {
  return command.options.find(
    ({ required, short, long }) => required && word !== undefined && (short === word || long === word),
  )
}

async function ofOption(option: Option): Promise<readonly Candidate[]> {
  if (option.argChoices) return option.argChoices.map((text) => ({ text, about: "" }))
  if (option.long === "--volume") return [...(await volumes()), FILES]
  if (option.long === "--network") return [...MODES, ...(await networks())]
  return /<(file|path)>/.test(option.flags) ? [FILES] : []
}

/** The argument that comes after `words`; the last one again where it takes several. */
function argumentAt(command: Command, words: readonly string[]): Argument | undefined {
  const given = words.filter((word, at) => !word.startsWith("-") && !optionOf(command, words[at - 1])).length
  const last = command.registeredArguments.at(-1)
  return command.registeredArguments[given] ?? (last?.variadic ? last : undefined)
}

async function ofArgument(
  argument: Argument | undefined,
  files: readonly Candidate[],
): Promise<readonly Candidate[]> {
  if (argument?.argChoices) return argument.argChoices.map((text) => ({ text, about: "" }))
  const name = argument?.name()
  if (name === "image") return [...(await images()), ...files]
  if (name === "instance") return instances()
  if (name === "volume") return volumes()
  if (name === "network") return networks()
  return name === "file" ? [FILES] : []
}

async function images(only?: "snapshot"): Promise<Candidate[]> {
  await using store = await openStoreToRead()
  const found: Candidate[] = []
  for await (const { reference, target } of store.list()) {
    const { snapshotOf } = await summarize(store, target)
    if (snapshotOf || !only) found.push({ text: reference, about: snapshotOf ? "snapshot" : "image" })
  }
  return found
}

async function instances(): Promise<Candidate[]> {
  const list = (await (await findDaemon())?.list()) ?? []
  return [
    ...list.map((one) => ({ text: one.name, about: `${one.state}, ${one.image.reference}` })),
    ...list.map((one) => ({ text: one.instance_id, about: one.name })),
  ]
}

async function volumes(): Promise<Candidate[]> {
  const list = (await (await findDaemon())?.volumes()) ?? []
  return list.map(({ name, size }) => ({ text: name, about: formatSize(size) }))
}

const MODES: readonly Candidate[] = [
  { text: "user", about: "one of the machine's own" },
  { text: "none", about: "no network" },
]

async function networks(): Promise<Candidate[]> {
  const list = (await (await findDaemon())?.networks()) ?? []
  return list.map(({ name, subnet }) => ({ text: name, about: subnet }))
}
