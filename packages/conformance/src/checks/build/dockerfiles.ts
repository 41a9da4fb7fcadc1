import { mkdir, symlink } from "node:fs/promises"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { diskMachine } from "../../artifact/disks.ts"
import { type Check, must } from "../../check.ts"
import { Ext4 } from "../../disk/ext4.ts"
import { containerIn } from "../../foreign/container.ts"
import { diskOf } from "../../foreign/disks.ts"
import { ForeignLayout } from "../../foreign/layout.ts"
import { digestOf } from "../../registry/content.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { bootFolder } from "../import/container-stage.ts"
import { layoutOf } from "../import/exports.ts"
import { type Bench, bench, machineIn, newLayout } from "../import/stage.ts"
import { BASE, built, type Document, dependenciesOf, provenanceIn, refusesBuild } from "./stage.ts"

/** Nothing of it writes to the disk. */
const SAYS_ALL = `ARG WHO=world
FROM base AS one
ARG WHO
ENV GREETING="hello \${WHO}" KEPT='\${WHO}' OTHER=\${NONE:-none} MORE=\${WHO:+more}
LABEL "note of"="$GREETING"
EXPOSE 80 53/udp
VOLUME /data
STOPSIGNAL SIGQUIT
USER \${WHO}
ENTRYPOINT ["run", "$WHO"]
CMD ["one two"]
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=5s CMD ["check"]
`

async function containerBase(bench: Bench, more: object = {}) {
  const layout = new ForeignLayout(newLayout(bench))
  const config = {
    Entrypoint: ["/bin/main"],
    Env: ["PATH=/bin"],
    ExposedPorts: { "80/tcp": {} },
    User: "web",
    ...more,
  }
  const image = containerIn(layout, [[{ name: "srv/file", content: "of the image" }]], { config })
  return { base: layout.only(image), digest: image.digest, config, boot: await bootFolder(bench) }
}

function same(found: unknown, wanted: unknown, what: string): void {
  must(
    isDeepStrictEqual(found, wanted),
    `${what} is ${JSON.stringify(found)}, and not ${JSON.stringify(wanted)}`,
  )
}

export const dockerfiles: readonly Check<Wrapper>[] = [
  bench("build/refuses-what-it-does-not-honour", ["OVMS-BLD-010"], async (bench) => {
    await refusesBuild(bench, "FROM base\nLABEL a=b\nNONSENSE x\nRUN --nonsense=1 true\n", [3, 4])
    await refusesBuild(bench, "FROM base\nCOPY --nonsense a b\n", [2], { files: { a: "a" } })
  }),
  bench("build/refuses-what-is-not-there", ["OVMS-BLD-011"], async (bench) => {
    await refusesBuild(bench, "FROM base\nCOPY --from=nowhere /a /b\n", [2])
    await refusesBuild(bench, "FROM no/such/image:1\nLABEL a=b\n", [1])
    await refusesBuild(bench, "FROM base\nLABEL a=b\nCOPY nothing /x\n", [3])
    await mkdir(join(bench.folder, "context"), { recursive: true })
    await symlink("../..", join(bench.folder, "context/out"))
    for (const path of ["../outside", "out/etc/passwd"])
      await refusesBuild(bench, `FROM base\nCOPY ${path} /x\n`, [2])
    const files = { ".dockerignore": "secret\n!\nsec[ret\n", secret: "a" }
    await refusesBuild(bench, "FROM base\nLABEL a=b\n", [2, 3], { files })
  }),
  bench("build/refuses-files-of-the-host-as-images", ["OVMS-BLD-041"], async (bench) => {
    const layout = await layoutOf(bench, BASE)
    for (const name of [layout, `oci:${layout}`, `oci-layout://${layout}`, `docker-archive:${layout}.tar`])
      await refusesBuild(bench, `FROM ${name}\nLABEL a=b\n`, [1])
  }),
  bench("build/variables", ["OVMS-BLD-012"], async (bench) => {
    const { settings, notes } = await built(bench, SAYS_ALL, { args: ["WHO=me"] })
    const env = ["GREETING=hello me", "KEPT=${WHO}", "OTHER=none", "MORE=more"]
    same(settings.Env, env, "Env")
    same(notes["note of"], "hello me", "a label")
    same(settings.User, "me", "User")
    same(settings.Entrypoint, ["run", "$WHO"], "Entrypoint, in which nothing is expanded,")
  }),
  bench("build/arguments", ["OVMS-BLD-046"], async (bench) => {
    const text =
      "ARG OF=two\nFROM base AS two-amd64\nARG A=1 B=$A$OF\nFROM ${OF}-${TARGETARCH}\nLABEL a=$A b=$B of=$OF\n"
    const { settings } = await built(bench, text)
    same(settings.Labels, { a: "1", b: "1", of: "" }, "Labels")
  }),
  bench("build/what-writes-nothing-makes-no-layer", ["OVMS-BLD-013", "OVMS-BLD-017"], async (bench) => {
    const { manifest } = await built(bench, SAYS_ALL)
    const before = JSON.parse(BASE.manifest.toString()).diskLayers.map(({ ref }: Document) => ref)
    same(
      manifest.diskLayers.map(({ ref }: Document) => ref),
      before,
      "the list of its layers",
    )
  }),
  bench("build/stages-that-are-not-needed", ["OVMS-BLD-015"], async (bench) => {
    // What is done in this machine fails: it cannot boot.
    const text = "FROM base AS one\nLABEL a=b\nFROM base AS two\nRUN false\nFROM one\nLABEL c=d\n"
    same((await built(bench, text)).settings.Labels, { a: "b", c: "d" }, "Labels")
  }),
  bench("build/what-a-machine-says-of-itself", ["OVMS-BLD-030"], async (bench) => {
    const { settings, notes } = await built(bench, SAYS_ALL)
    same(settings.Labels, { "note of": "hello world" }, "Labels")
    same(settings.ExposedPorts, { "80/tcp": {}, "53/udp": {} }, "ExposedPorts")
    same(settings.Volumes, { "/data": {} }, "Volumes")
    same(
      [settings.StopSignal, settings.User, settings.Cmd],
      ["SIGQUIT", "world", ["one two"]],
      "StopSignal, User, Cmd",
    )
    same(settings.Shell, ["/bin/sh", "-ec"], "Shell")
    same(settings.Healthcheck?.Test, ["CMD", "check"], "Healthcheck.Test")
    same(notes["note of"], "hello world", "the annotation of a label")
    const known = new Set([...MEMBERS])
    same(
      Object.keys(settings).filter((name) => !known.has(name)),
      [],
      "the list of members that it should not have",
    )
  }),
  bench("build/ports-and-the-agent", ["OVMS-BLD-031"], async (bench) => {
    const { manifest } = await built(bench, SAYS_ALL)
    const ports = (manifest.network?.[0]?.ports ?? []).map(
      ({ guest, protocol }: Document) => `${guest}/${protocol ?? "tcp"}`,
    )
    same(ports.sort(), ["53/udp", "80/tcp"], "the list of ports")
    must(manifest.agent, "a machine with an entry point asks for no agent")
    const bare = await built(bench, "FROM base\nLABEL a=b\n")
    same(bare.manifest.agent, undefined, "the agent of a machine without entry point and command")
  }),
  bench("build/goes-on-from-what-it-says", ["OVMS-BLD-032", "OVMS-BLD-033"], async (bench) => {
    const first = await built(bench, SAYS_ALL)
    const second = await built(bench, "FROM base\nLABEL other=label\nENV OTHER=new\n", { base: first.layout })
    same(second.settings.Labels, { "note of": "hello world", other: "label" }, "Labels")
    same(
      second.settings.Env.includes("OTHER=new") && second.settings.Env.includes("GREETING=hello world"),
      true,
      "Env",
    )
    same(second.notes["org.opencontainers.image.base.digest"], first.read.digest, "the digest of the base")
    const odd = diskMachine([diskOf("odd")])
    const oci = JSON.parse(odd.oci.toString())
    const annotations = { "ovms.settings": '{"Env":"no list","Cmd":["kept"],"Later":1}' }
    const layout = await layoutOf(bench, withBytes(odd, { ...oci, annotations }))
    const { settings } = await built(bench, "FROM base\nLABEL a=b\n", { base: layout })
    same(
      [settings.Env, settings.Cmd],
      [undefined, ["kept"]],
      "Env and Cmd, of which the first is of another form,",
    )
  }),
  bench("build/from-scratch", ["OVMS-BLD-057"], async (bench) => {
    const { base, boot } = await containerBase(bench)
    const text = "FROM base AS other\nLABEL other=one\nFROM scratch\nLABEL a=b\n"
    const { layout, settings, notes, manifest } = await built(bench, text, { base, boot })
    same(settings, { Labels: { a: "b" } }, "what it says of itself")
    same(notes["org.opencontainers.image.base.digest"], undefined, "the digest of a base")
    must(
      / init=\/etc\/ovm\/init\b/.test(manifest.kernel?.args ?? ""),
      "its kernel does not begin /etc/ovm/init",
    )
    const files = new Ext4((await machineIn(layout)).disk)
    must(
      files.find("/etc/ovm/init"),
      "it has no /etc/ovm/init, as a container image has that becomes a machine",
    )
    must(!files.find("/srv/file"), "it has files of an image that it did not begin with")
    const parts = dependenciesOf((await provenanceIn(bench)).said).map(([part]) => part)
    must(!parts.includes("base"), `its provenance has the parts ${parts.join(", ")}`)
  }),
  bench("build/refuses-what-an-image-says-of-builds", ["OVMS-BLD-048"], async (bench) => {
    const { base, boot } = await containerBase(bench, { OnBuild: ["RUN true"] })
    await refusesBuild(bench, "FROM scratch\nFROM base\nLABEL a=b\n", [2], { base, boot })
  }),
  bench("build/from-a-container-image", ["OVMS-BLD-040", "OVMS-BLD-044"], async (bench) => {
    const { config, digest, ...base } = await containerBase(bench)
    const { settings, notes, manifest } = await built(bench, "FROM base\nLABEL a=b\n", base)
    same(settings, { ...config, Labels: { a: "b" } }, "what the machine says of itself")
    same(notes["org.opencontainers.image.base.digest"], digest, "the digest of the base")
    must(
      / init=\/etc\/ovm\/init\b/.test(manifest.kernel?.args ?? ""),
      "its kernel does not begin /etc/ovm/init",
    )
    must(!/ovm\.main=off/.test(manifest.kernel.args), "its kernel is told not to begin what the image says")
  }),
]

const MEMBERS = [
  "User",
  "Env",
  "Entrypoint",
  "Cmd",
  "WorkingDir",
  "Labels",
  "Volumes",
  "ExposedPorts",
  "StopSignal",
  "Healthcheck",
  "Shell",
]

function withBytes(artifact: typeof BASE, oci: object): typeof BASE {
  const bytes = Buffer.from(JSON.stringify(oci))
  return { ...artifact, oci: bytes, digest: digestOf(bytes) }
}
