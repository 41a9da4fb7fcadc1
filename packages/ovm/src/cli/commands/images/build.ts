import { join, relative, resolve } from "node:path"
import type { Command } from "commander"
import { epochTime, timeNow } from "../../../artifact/epoch.ts"
import { Context } from "../../../build/context.ts"
import { planBuild } from "../../../build/plan.ts"
import { DOCKERFILE_LIMIT, readDockerfile } from "../../../build/read.ts"
import { ArgumentScope } from "../../../build/scope.ts"
import { digestOf } from "../../../content/digest.ts"
import { readAll } from "../../../content/read.ts"
import { OvmError } from "../../../errors.ts"
import { readRegular } from "../../../files/regular.ts"
import { parseReference } from "../../../registry/reference.ts"
import { buildProvenanceOf } from "../../../supply/build-provenance.ts"
import { isPackedTar } from "../../build/archives.ts"
import { baseCalled } from "../../build/base.ts"
import { withBeginning } from "../../build/beginning.ts"
import { Building } from "../../build/building.ts"
import { finishBuild } from "../../build/finish.ts"
import { proofOf } from "../../build/proof.ts"
import { BuildPlace } from "../../build/workplace.ts"
import { parseDiskSize } from "../../import/disk-size.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printJson } from "../../output.ts"
import { keepPredicate, type ProvenanceOptions, wantedProvenance } from "../../provenance.ts"
import { signerOptions } from "../../signer-options.ts"
import { parseAmple, parseCount } from "../../size.ts"
import { examples } from "../../terminal/examples.ts"

interface BuildOptions extends ProvenanceOptions {
  readonly tag: string
  readonly file?: string
  readonly buildArg?: ReadonlyMap<string, string>
  readonly buildContext?: ReadonlyMap<string, string>
  readonly kernelFrom?: string
  readonly diskSize?: number
  readonly target?: string
  readonly cache: boolean
  readonly quiet?: boolean
  readonly memory?: number
  readonly cpus?: number
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Make a machine of a Dockerfile: each step that writes is done in a machine that is started from what was made " +
        "before, and is one more layer of its disk. Steps that are as they were in a build before are not done again. " +
        "What steps say is printed on standard error.",
    )
    .argument("<context>", "the folder that COPY copies from")
    .requiredOption("-t, --tag <name>", "name of the image")
    .option(
      "-f, --file <file>",
      "the Dockerfile; Dockerfile in the context unless given, - for standard input",
    )
    .option(
      "--build-arg <name=value>",
      "a value for an ARG; by name alone that of this environment",
      collectArg,
    )
    .option(
      "--build-context <name=image>",
      "what FROM and --from mean by a name: docker-image://NAME, oci-layout://PATH, or the path of an archive",
      collectContext,
    )
    .option(
      "--kernel-from <machine>",
      "what boots a container image: an image here, or a folder with vmlinuz and initrd.img",
    )
    .option("--disk-size <size>", "of a container image's disk, at least (10GiB)", (text) =>
      parseDiskSize(text, "--disk-size"),
    )
    .option("--target <stage>", "make this stage, and not the last one")
    .option("--no-cache", "do every step, whatever builds before have kept")
    .addOption(
      command.createOption("--progress <kind>", "how the steps are told").choices(["plain"]).default("plain"),
    )
    .option("-q, --quiet", "tell nothing of the steps but their own output")
    .option("--memory <size>", "memory of the machines that do the steps", (text) =>
      parseAmple(text, "--memory"),
    )
    .option("--cpus <count>", "virtual CPUs of these machines", (text) => parseCount(text, "--cpus"))
    .option("--plain-http", "speak HTTP without TLS to the registry of an image that is not here")
    .option(
      "--provenance [file]",
      "write down what it was built of, as SLSA provenance v1: to the file, or to provenance.json; " +
        "with --key it is attached",
    )
  signerOptions(command)
  command.option("--json", "print JSON").action(run)
  examples(
    command,
    "ovm build -t web:1 .",
    "ovm build -t web:1 --kernel-from debian:12 --build-context base=oci-layout://./base web",
    "ovm build -t web:1 --build-arg VERSION=2 -f web.Dockerfile web",
  )
}

async function run(folder: string, options: BuildOptions): Promise<void> {
  const reference = parseReference(options.tag)
  const name = reference.toString()
  const wanted = await wantedProvenance(options)
  const started = timeNow(process.env.SOURCE_DATE_EPOCH)
  const { SOURCE_DATE_EPOCH } = process.env
  const created = epochTime(SOURCE_DATE_EPOCH)
  const { path, bytes } = await dockerfileOf(folder, options)
  const file = readDockerfile(bytes, path)
  const { proof, ...made } = await interruptible(async (signal) => {
    const context = await Context.open(folder, [`${path}.dockerignore`, join(folder, ".dockerignore")])
    await using opened = new AsyncDisposableStack()
    const planned = await planBuild(file, {
      args: withEpoch(options.buildArg, SOURCE_DATE_EPOCH),
      context,
      isArchive: isPackedTar,
      ...(options.target !== undefined && { target: options.target }),
      base: (text) =>
        baseCalled(text, { ...options, signal, contexts: options.buildContext ?? new Map(), opened }),
    })
    const stage = withBeginning(planned, path)
    await using place = await BuildPlace.open({ signal })
    const { memory, cpus, cache, quiet = false } = options
    const how = {
      path,
      cache,
      quiet,
      ...(created !== undefined && { latest: Number(SOURCE_DATE_EPOCH) }),
      ...(memory !== undefined && { memory }),
      ...(cpus !== undefined && { cpus }),
    }
    await using building = new Building(place, how, { signal })
    await building.sweep()
    const image = await building.image(stage)
    const digest = await finishBuild(
      stage,
      { image, name, ...(created !== undefined && { created }) },
      { signal },
    )
    const done = { reference: name, digest, steps: building.done }
    if (!wanted.file && !wanted.by) return { ...done, proof: undefined }
    const proof = await proofOf(stage, { context, digest, nameOf: (key) => building.kept(key) }, { signal })
    return { ...done, proof }
  })
  const run = proof && {
    ...proof,
    started,
    context: resolve(folder),
    dockerfile: { path: resolve(path), digest: digestOf(bytes) },
    buildArgs: shownArgs(options.buildArg),
    ...(options.target !== undefined && { target: options.target }),
  }
  const image = { reference, digest: made.digest }
  const kept = run && (await keepPredicate(wanted, (now) => buildProvenanceOf({ ...run, ...now }), image))
  if (options.json) printJson({ ...made, ...kept })
  else print(`${made.digest}  ${made.reference}\n`)
}

/** Without proxies, in which there may be passwords. */
function shownArgs(given: BuildOptions["buildArg"] = new Map()): ReadonlyMap<string, string> {
  return new Map([...given].filter(([name]) => !ArgumentScope.isAside(name)))
}

async function dockerfileOf(folder: string, { file }: BuildOptions) {
  if (file === "-") {
    const bytes = await readAll(process.stdin, DOCKERFILE_LIMIT, "the Dockerfile")
    return { path: "Dockerfile", bytes }
  }
  const at = file ?? join(folder, "Dockerfile")
  return { path: relative(process.cwd(), at) || at, bytes: await readRegular(at, DOCKERFILE_LIMIT) }
}

function withEpoch(given: BuildOptions["buildArg"], epoch: string | undefined): ReadonlyMap<string, string> {
  return new Map([...(epoch ? [["SOURCE_DATE_EPOCH", epoch] as const] : []), ...(given ?? [])])
}

function collectContext(
  text: string,
  before: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, string> {
  const [, name, value] = /^([^=]+)=(.+)$/s.exec(text) ?? []
  if (name === undefined || value === undefined)
    throw new OvmError("OVM_USAGE", `--build-context: ${JSON.stringify(text)} is not NAME=IMAGE`)
  return new Map([...before, [name, value]])
}

function collectArg(
  text: string,
  before: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, string> {
  const [, name, , value] = /^([A-Za-z_][A-Za-z0-9_]*)(=(.*))?$/s.exec(text) ?? []
  if (name === undefined)
    throw new OvmError("OVM_USAGE", `--build-arg: ${JSON.stringify(text)} is not NAME or NAME=VALUE`)
  const found = value ?? process.env[name]
  return found === undefined ? before : new Map([...before, [name, found]])
}
