import { stat } from "node:fs/promises"
import { type Command, Option } from "commander"
import { DOCUMENT_BYTES } from "../../../artifact/json.ts"
import { judgeDocument } from "../../../artifact/judge-document.ts"
import { isArchive } from "../../../content/archive/reader.ts"
import { OvmError } from "../../../errors.ts"
import { type ImageFault, judgeImage } from "../../../images/judge.ts"
import { isPath } from "../../../registry/reference.ts"
import { readArgument } from "../../argument-file.ts"
import { faultLine } from "../../failure.ts"
import { interruptible } from "../../interrupt.ts"
import { JUDGED_KINDS, type JudgedKind, judgeAs } from "../../judge/as.ts"
import { print, printJson } from "../../output.ts"
import { locate } from "../../place/locate.ts"
import { examples } from "../../terminal/examples.ts"

interface ValidateOptions {
  readonly as?: JudgedKind
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Report every fault at once, each with its place and the requirement of the specification that it breaks. " +
        "A file is an OVMS manifest, an OCI manifest or a pack source; of an image on this host or in an OCI " +
        "layout the kernel and the disks are checked as well. With --as nothing is guessed: artifact is an OCI " +
        "manifest and an OVMS manifest, snapshot-artifact an OCI manifest and a snapshot descriptor, disk files " +
        "as FORMAT:FILE, base first; ram what is said of it, the blob and perhaps its table; evidence and " +
        "decision a question in JSON, as the specification's chapter on conformance has them.",
    )
    .argument("<file...>", "path of a file, OCI layout or archive, or name of an image; several with --as")
    .addOption(new Option("--as <kind>", "what it is").choices(JUDGED_KINDS))
    .option("--plain-http", "speak HTTP without TLS to the registry")
    .option("--json", "print JSON")
    .action(run)
  examples(
    command,
    "ovm validate machine.json",
    "ovm validate ./layout",
    "ovm validate --json debian:13",
    "ovm validate --as snapshot snapshot.json",
    "ovm validate --as decision --json question.json",
  )
}

async function run(texts: readonly string[], options: ValidateOptions): Promise<void> {
  const { kind, faults, ...found } = await (options.as ? judgeAs(options.as, texts) : judged(texts, options))
  const what = texts.join(", ")
  if (options.json) printJson({ valid: faults.length === 0, kind, faults, ...found })
  const [first, ...others] = faults
  if (first) throw refusal(what, [first, ...others])
  if (!options.json) print(`${what}: valid (${kind})\n`)
}

/** What the one argument looks like, and its faults. Throws OVM_USAGE for several. */
async function judged([text = "", ...more]: readonly string[], options: ValidateOptions) {
  if (more.length > 0)
    throw new OvmError("OVM_USAGE", "several files are judged together only with --as", {
      hint: "ovm validate --help",
    })
  return await interruptible(async (signal) => {
    const path = await existing(text)
    if (path === "file" && !(await isArchive(text)))
      return judgeDocument(await readArgument(text, DOCUMENT_BYTES))
    const image = path !== undefined && !isPath(text) ? `./${text}` : text
    await using found = await locate(image, { ...options, signal, hold: true })
    return await judgeImage(found, { signal })
  })
}

/** The error for `faults`; its code is that of the first which is more than a name reserved for later. */
function refusal(what: string, faults: readonly [ImageFault, ...ImageFault[]]): OvmError {
  const { code } = faults.find((fault) => fault.code !== "OVM_UNSUPPORTED") ?? faults[0]
  const message =
    faults.length === 1 ? `${what}: ${faultLine(faults[0])}` : `${what} has ${faults.length} faults`
  return new OvmError(code, message, { detail: faults })
}

/** A file wins over an image of the same name: it is what one has in front of oneself. */
async function existing(text: string): Promise<"file" | "directory" | undefined> {
  const found = await stat(text).catch(() => undefined)
  if (found) return found.isDirectory() ? "directory" : "file"
  return undefined
}
