import type { Command } from "commander"
import type { Call } from "../../../../content/interfaces.ts"
import { paths } from "../../../../host/paths.ts"
import { askedOf, readRoot } from "../../../../images/root.ts"
import { isPath, parseReference } from "../../../../registry/reference.ts"
import type { Decision } from "../../../../signing/policy/decision.ts"
import { decisionJson } from "../../../../signing/policy/json.ts"
import { Policy } from "../../../../signing/policy/policy.ts"
import { refusedBy } from "../../../../signing/policy/refused.ts"
import { evidenceIn } from "../../../../signing/source.ts"
import { nameFor } from "../../../digits.ts"
import { interruptible } from "../../../interrupt.ts"
import { printJson } from "../../../output.ts"
import { locate } from "../../../place/locate.ts"
import { oneMachine } from "../../../place/machine.ts"
import { type PlatformOption, platformOption } from "../../../platform-option.ts"
import { examples } from "../../../terminal/examples.ts"
import { printLines } from "../../../terminal/lines.ts"

interface CheckOptions extends PlatformOption {
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Say what the policy of this host thinks of an image, and why: the scope, each of its requirements, and " +
        "each signature that was looked at. Nothing is copied. What is here is judged by the signatures that are " +
        "here, anything else by those in its registry.",
    )
    .argument("<image>", "name of an image, or path of an OCI layout or archive")
    .option("--plain-http", "speak HTTP without TLS to the registry")
  platformOption(command).option("--json", "print JSON").action(run)
  examples(
    command,
    "ovm policy check registry.example.com/machines/edge:1",
    "ovm policy check --json ./layout:1",
  )
}

async function run(text: string, options: CheckOptions): Promise<void> {
  const image = await nameFor(text)
  const decision = await interruptible((signal) => decide(image, options, { signal }))
  if (options.json) printJson(decisionJson(decision))
  else printLines(explain(decision))
  if (!decision.allowed) throw refusedBy(decision)
}

async function decide(image: string, options: CheckOptions, call: Call): Promise<Decision> {
  const policy = new Policy(paths().policy)
  await policy.check()
  await using located = await locate(image, { ...options, ...call, hold: true })
  const found = await oneMachine(located, { ...options, ...call })
  const { source, target, index, name: reference, files } = found
  const asName = isPath(image) ? undefined : parseReference(image)
  const root = await readRoot(source, target, call)
  const asked = askedOf({ reference, name: asName, target: located.target, index }, root)
  // Only this host's own store has whole names.
  const { decision } = await policy.decide(
    asked,
    evidenceIn(source, files && asName && `${asName.name}:`),
    call,
  )
  return decision
}

function explain({ reference, digest, policy, scope, why, rules, warnings, allowed }: Decision): string[] {
  const lines = [
    `${reference} ${digest}`,
    `policy  ${policy ?? "none"}`,
    ...(scope === undefined ? [] : [`scope   ${scope}`]),
    `        ${why}`,
  ]
  for (const { pointer, type, of, holds, reason, code, evidence = [] } of rules) {
    lines.push(`${holds ? "holds " : "FAILS "}  ${of}: ${type}${pointer ? ` (${pointer})` : ""}`)
    lines.push(`        ${code && !holds ? `${code}: ` : ""}${reason}`)
    for (const { counts, form, kind, blob, reason } of evidence)
      lines.push(`        ${counts ? "+" : "-"} ${form} ${kind} ${blob}${reason ? `: ${reason}` : ""}`)
  }
  return [...lines, ...warnings.map((warning) => `warning ${warning}`), allowed ? "allowed" : "refused"]
}
