import type { Command } from "commander"
import { OvmError } from "../../../../errors.ts"
import { connectHost } from "../../../../registry/connect.ts"
import { type Probe, probe } from "../../../../registry/probe.ts"
import { parseReference } from "../../../../registry/reference.ts"
import { interruptible } from "../../../interrupt.ts"
import { print, printError, printJson } from "../../../output.ts"
import { registryAccess } from "../../../registry.ts"
import { columnsOf, widthOf } from "../../../terminal/columns.ts"
import { examples } from "../../../terminal/examples.ts"
import { printLines } from "../../../terminal/lines.ts"
import { table } from "../../../terminal/table.ts"

interface ProbeOptions {
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Find out what a registry can do, and what ovm does about what it cannot. It pushes artifacts of a few " +
        "bytes (and one manifest of 4 MiB) to the repository and deletes them again; what cannot be deleted is " +
        "listed.",
    )
    .argument("<repository>", "HOST/REPOSITORY that may be written to; it need not be there yet")
    .option("--plain-http", "speak HTTP without TLS to the registry")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm registry probe registry.example.com/scratch/probe")
}

async function run(text: string, options: ProbeOptions): Promise<void> {
  const { host, repository } = parseReference(text)
  if (host === undefined)
    throw new OvmError("OVM_REFERENCE_INVALID", `${text} names no registry`, {
      hint: `ovm registry probe HOST/${text}`,
    })
  const found = await interruptible(async (signal) => {
    const transport = await connectHost(host, {
      ...registryAccess(),
      ...(options.plainHttp && { plainHttp: true }),
    })
    return probe(transport, repository, { signal })
  })
  if (options.json) return printJson(found)
  show(found)
  if (found.left.length > 0)
    printError(`left there, since it cannot be deleted:\n  ${found.left.join("\n  ")}\n`)
}

/** What follows from a finding is a sentence, which a narrow terminal has below the finding and not beside it. */
function show({ host, findings }: Probe): void {
  const columns = [{ heading: "FEATURE" }, { heading: host.toUpperCase() }, { heading: "SO OVM" }]
  const text = table(
    columns,
    findings.map(({ feature, answer, consequence }) => [feature, answer, consequence]),
  )
  const room = columnsOf("stdout") ?? Number.POSITIVE_INFINITY
  if (text.split("\n").every((line) => widthOf(line) <= room)) print(text)
  else printLines(findings.flatMap((one) => [`${one.feature}  ${one.answer}`, `  ${one.consequence}`]))
}
