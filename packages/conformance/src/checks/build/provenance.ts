import { mkdir, writeFile } from "node:fs/promises"
import { hostname, userInfo } from "node:os"
import { basename, join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { kernelOf } from "../../artifact/make.ts"
import { type Check, must } from "../../check.ts"
import { containerIn } from "../../foreign/container.ts"
import { ForeignLayout } from "../../foreign/layout.ts"
import { digestOf } from "../../registry/content.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { bootFolder } from "../import/container-stage.ts"
import { type Bench, bench, newLayout } from "../import/stage.ts"
import { BASE, built, type Document, dependenciesOf, provenanceIn, sha256 } from "./stage.ts"

const EPOCH = { SOURCE_DATE_EPOCH: "1735689600" }
const TIME = "2025-01-01T00:00:00Z"
const SECRET = "of-the-suite-alone"

/** A pack source in a folder, with a layer below it, the kernel beside it, and a further disk. */
async function packed(bench: Bench, env: Readonly<Record<string, string>>) {
  const project = join(bench.folder, "project")
  await mkdir(join(project, "disks"), { recursive: true })
  const files = {
    "disks/base.raw": Buffer.alloc(4096, 1),
    "disks/data.raw": Buffer.alloc(4096, 2),
    "../kernel": kernelOf(0),
  }
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(project, name), bytes)
  const text = JSON.stringify({
    schemaVersion: 1,
    name: "suite/proven",
    kernel: { path: join(bench.folder, "kernel"), args: "console=ttyS0" },
    diskLayers: [{ path: "./disks/../disks/base.raw", format: "raw" }],
    disks: [{ name: "data", layers: [{ path: "disks/data.raw", format: "raw" }] }],
  })
  const source = join(project, "machine.json")
  await writeFile(source, text)
  const { wrapper, ...call } = bench
  const { code, stderr } = await wrapper.call("pack", [source, newLayout(bench)], { ...call, env })
  must(code === undefined, `the pack ended with ${code}: ${stderr.trim().slice(0, 300)}`)
  return { files, source: text, ...(await provenanceIn(bench)) }
}

function same(found: unknown, wanted: unknown, what: string): void {
  must(
    isDeepStrictEqual(found, wanted),
    `${what} is ${JSON.stringify(found)}, and not ${JSON.stringify(wanted)}`,
  )
}

/** What says something of the host, its user or their folders. */
function tellsNothing(bench: Bench, text: string): void {
  const names = [bench.folder, basename(bench.folder), `"${hostname()}"`, `/${userInfo().username}/`, SECRET]
  for (const name of names) must(!text.includes(name), `the provenance has ${name} in it`)
}

function ofARun({ runDetails }: Document): void {
  must(URL.canParse(runDetails?.builder?.id ?? ""), "builder.id is no URI")
  const { startedOn, finishedOn } = runDetails.metadata
  same([startedOn, finishedOn], [TIME, TIME], "when it began and ended")
}

export const provenance: readonly Check<Wrapper>[] = [
  bench(
    "provenance/of-a-pack",
    ["OVMS-PRV-001", "OVMS-PRV-002", "OVMS-PRV-003", "OVMS-PRV-005", "OVMS-PRV-006", "OVMS-PRV-010"],
    async (bench) => {
      const { said, files, source: document } = await packed(bench, EPOCH)
      const { buildDefinition: definition } = said
      same(definition?.buildType, "urn:ovms:build:pack:v1", "buildType")
      const { source } = definition.externalParameters
      same(source?.kernel, { path: "kernel", args: "console=ttyS0" }, "the kernel of the source")
      same(source.diskLayers?.[0]?.path, "disks/base.raw", "the path of a layer of the source")
      const [base, data, kernel] = Object.values(files).map(digestOf)
      const wanted = [
        ["source", sha256(document)],
        ["kernel", kernel],
        ["disk 0", base],
        ["disk data 0", data],
      ]
      same(dependenciesOf(said), wanted, "the list of dependencies")
      const names = definition.resolvedDependencies.map(({ name }: Document) => name)
      same(names, ["machine.json", "kernel", "disks/base.raw", "disks/data.raw"], "the list of their names")
    },
  ),
  bench("provenance/tells-nothing-of-the-host", ["OVMS-PRV-011"], async (bench) => {
    tellsNothing(bench, (await packed(bench, { ...EPOCH, SUITE_SECRET: SECRET })).text)
    const { text } = await provenanceIn(bench)
    tellsNothing(bench, text)
  }),
  bench("provenance/of-a-time", ["OVMS-PRV-004", "OVMS-PRV-020", "OVMS-PRV-021"], async (bench) => {
    const first = await packed(bench, EPOCH)
    same(
      first.said.buildDefinition.externalParameters.sourceDateEpoch,
      EPOCH.SOURCE_DATE_EPOCH,
      "sourceDateEpoch",
    )
    ofARun(first.said)
    const { text } = await provenanceIn(bench)
    await packed(bench, EPOCH)
    same((await provenanceIn(bench)).text, text, "the provenance of the same files once more")
    const { said } = await packed(bench, { SOURCE_DATE_EPOCH: "" })
    same(
      said.buildDefinition.externalParameters.sourceDateEpoch,
      undefined,
      "sourceDateEpoch without that variable",
    )
  }),
  bench(
    "provenance/of-a-build",
    ["OVMS-BLD-050", "OVMS-BLD-051", "OVMS-BLD-052", "OVMS-BLD-053"],
    async (bench) => {
      const text = "ARG WHO\nFROM base AS other\nRUN false\nFROM base\nARG WHO\nLABEL who=$WHO\n"
      await built(bench, text, { env: EPOCH, args: ["WHO=me", "HTTP_PROXY=http://proxy.example"] })
      const { said } = await provenanceIn(bench)
      const { buildDefinition: definition } = said
      same(definition?.buildType, "urn:ovms:build:dockerfile:v1", "buildType")
      const { buildArgs, target, sourceDateEpoch } = definition.externalParameters
      same(
        [buildArgs, target, sourceDateEpoch],
        [{ WHO: "me" }, undefined, EPOCH.SOURCE_DATE_EPOCH],
        "what it was given",
      )
      const wanted = [
        ["dockerfile", sha256(text)],
        ["context", sha256("")],
        ["base", BASE.digest],
      ]
      same(dependenciesOf(said), wanted, "the list of dependencies")
      const steps: readonly Document[] = definition.internalParameters?.steps ?? []
      same(
        steps.filter(({ line }) => line === 3),
        [],
        "the list of steps of a stage that was not made",
      )
    },
  ),
  bench("provenance/of-a-container-image", ["OVMS-BLD-051"], async (bench) => {
    const layout = new ForeignLayout(newLayout(bench))
    const image = containerIn(layout, [[{ name: "file", content: "of the image" }]])
    const boot = await bootFolder(bench)
    await built(bench, "FROM base\nLABEL a=b\n", { base: layout.only(image), boot })
    const { said } = await provenanceIn(bench)
    const [, , ...wanted] = dependenciesOf(said)
    const parts = [
      ["base", image.digest],
      ["kernel", digestOf(kernelOf(0))],
      ["initrd", sha256("an initial RAM disk")],
    ]
    same(wanted, parts, "the list of dependencies")
  }),
  bench("provenance/of-a-build-tells-nothing", ["OVMS-BLD-054"], async (bench) => {
    await built(bench, "FROM base\nLABEL a=b\n", { env: { ...EPOCH, SUITE_SECRET: SECRET } })
    const { said, text } = await provenanceIn(bench)
    const { resolvedDependencies: all } = said.buildDefinition
    same(all[0]?.name, "Dockerfile", "the name of the Dockerfile")
    tellsNothing(bench, text)
    ofARun(said)
  }),
]
