import type { Command } from "commander"
import { bytesText } from "../../../artifact/machine/inspect.ts"
import type { Call } from "../../../content/interfaces.ts"
import { type Amount, type Difference, differenceOf, type PartChange } from "../../../images/difference.ts"
import { readRoot } from "../../../images/root.ts"
import { formatCount } from "../../format.ts"
import { interruptible } from "../../interrupt.ts"
import { printJson } from "../../output.ts"
import { locate } from "../../place/locate.ts"
import { oneMachine } from "../../place/machine.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { examples } from "../../terminal/examples.ts"
import { printLines } from "../../terminal/lines.ts"

interface DiffOptions extends PlatformOption {
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Show what differs between two images or snapshots: each part, what else their manifests say, what they " +
        "share, and how many bytes have to be moved to have the second where the first is. Of what is not on this " +
        "host the manifests are fetched, and nothing else.",
    )
    .argument("<from>", "name of an image, or path of an OCI layout: DIRECTORY or DIRECTORY:TAG")
    .argument("<to>", "another one")
    .option("--plain-http", "speak HTTP without TLS to registries")
  platformOption(command).option("--json", "print JSON").action(run)
  examples(
    command,
    "ovm diff debian:12 debian:13",
    "ovm diff --json registry.example.com/machines/app:1 registry.example.com/machines/app:2",
  )
}

async function run(from: string, to: string, options: DiffOptions): Promise<void> {
  const [one, other] = await interruptible((signal) =>
    Promise.all([from, to].map((text) => read(text, { ...options, signal }))),
  )
  if (!one || !other) return
  const difference = differenceOf(one.root, other.root)
  if (options.json) printJson({ from: one.named, to: other.named, ...modelOf(difference) })
  else printLines([`${one.named.reference} → ${other.named.reference}`, ...linesOf(difference)])
}

async function read(text: string, options: DiffOptions & Required<Call>) {
  const { signal } = options
  await using located = await locate(text, options)
  const { name, source, target } = await oneMachine(located, options)
  const root = await readRoot(source, target, { signal })
  return { named: { reference: name, digest: target.digest }, root }
}

function modelOf({ parts, manifest, shared, toMove }: Difference) {
  return { parts, manifest, shared, to_move: toMove }
}

function linesOf({ parts, manifest, shared, toMove }: Difference): readonly string[] {
  return [
    ...parts.map(partLine),
    ...manifest.map(({ pointer, from, to }) => `changed  manifest ${pointer}  ${said(from)} → ${said(to)}`),
    `shared   ${amountText(shared)}`,
    `to move  ${amountText(toMove)}`,
  ]
}

function partLine({ part, change, from, to }: PartChange): string {
  const sides = change === "same" ? [to] : [from, to]
  const texts = sides.flatMap((one) => (one ? `${one.digest.slice(0, 19)} ${bytesText(one.size)}` : []))
  return `${change.padEnd(7)}  ${part}  ${texts.join(" → ")}`
}

function said(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value)
}

function amountText({ blobs, bytes }: Amount): string {
  return `${formatCount(blobs, "blob")}, ${bytesText(bytes)}`
}
