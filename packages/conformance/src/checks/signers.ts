import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { writeLayout } from "../artifact/layout.ts"
import { artifactOf, OCI_MANIFEST, store } from "../artifact/make.ts"
import { type Check, must } from "../check.ts"
import { digestOf, type Manifest, parsed, utf8 } from "../registry/content.ts"
import { newKeys } from "../signing/evidence.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { legacy } from "./verify.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

/** A signer program, whose answers `change` changes (in JavaScript, of `answer` and `question`). */
async function signer({ folder }: Scene, change: string): Promise<Readonly<Record<string, string>>> {
  const bin = join(folder, "bin")
  await mkdir(bin, { recursive: true })
  const keys = newKeys()
  const other = newKeys()
  const text = `#!${process.execPath}
const { createPrivateKey, sign } = require("node:crypto")
const question = JSON.parse(require("node:fs").readFileSync(0, "utf8"))
const by = (pem) => sign("sha256", Buffer.from(question.message ?? "", "base64"), createPrivateKey(pem)).toString("base64")
const other = () => by(${JSON.stringify(other.privatePem)})
let answer = question.operation === "public-key"
  ? { version: 1, publicKey: ${JSON.stringify(keys.publicPem)} }
  : { version: 1, signature: by(${JSON.stringify(keys.privatePem)}) }
${change}
process.stdout.write(JSON.stringify(answer))
`
  const path = join(bin, "ovm-signer-suite")
  await writeFile(path, text)
  await chmod(path, 0o755)
  return { PATH: `${bin}:${process.env.PATH}` }
}

/** Has it sign by the program; its code, and how much refers to the subject then. */
async function signedBy(scene: Scene, change: string) {
  const { digest } = store(scene.registry.repository, artifactOf(), "1")
  const { wrapper, registry, ...call } = scene
  const env = await signer(scene, change)
  const { code, stderr } = await wrapper.call("sign", ["plugin:suite/a key", registry.reference("1")], {
    ...call,
    env,
  })
  return { code, stderr, evidence: registry.repository.referrers(digest).length }
}

async function refused(scene: Scene, changes: readonly string[]): Promise<void> {
  const right = await signedBy(scene, "")
  must(
    right.code === undefined,
    `with a signer that is right it ended with ${right.code}: ${right.stderr.trim()}`,
  )
  must(right.evidence === 1, "with a signer that is right nothing refers to the machine")
  for (const change of changes) {
    const { code, evidence } = await signedBy(scene, change)
    must(code === "OVM_SIGNER_FAILED", `with ${change} it ended ${code ? `with ${code}` : "well"}`)
    must(evidence === 1, `with ${change} it wrote a signature`)
  }
}

function plan(name: string, covers: readonly string[], run: Plan["run"]): Plan {
  return { name: `sign/${name}`, covers, run, profile: "signing" }
}

const PLANS: readonly Plan[] = [
  plan("program-that-answers-wrong", ["OVMS-SIG-050"], (scene) =>
    refused(scene, [
      "answer.version = 2",
      'answer.more = "x".repeat(70000)',
      "process.exitCode = 3",
      'answer = { version: 1, error: { message: "no" } }',
    ]),
  ),
  plan("program-that-signs-otherwise", ["OVMS-SIG-051"], (scene) =>
    refused(scene, [
      "if (answer.signature) answer.signature = other()",
      'if (answer.signature) answer.signature = "AAAA"',
    ]),
  ),
  plan("legacy-keeps-what-others-signed", ["OVMS-SIG-012"], async (scene) => {
    const { registry } = scene
    const { digest, oci } = store(registry.repository, artifactOf(), "1")
    legacy({ registry, keys: newKeys(), subject: { digest, size: oci.length } })
    const tag = `${digest.replace(":", "-")}.sig`
    const under = (): Manifest =>
      parsed(registry.repository.manifests.get(registry.repository.tags.get(tag) ?? "")?.bytes ?? utf8("{}"))
    const [before] = under().layers ?? []
    const { code, stderr } = await signedLegacy(scene)
    must(code === undefined, `the sign ended with ${code}: ${stderr.trim().slice(0, 300)}`)
    const layers = under().layers ?? []
    must(layers.length === 2, `there are ${layers.length} signatures under the tag, and not two`)
    must(
      layers.some((layer) => layer.digest === before?.digest),
      "the signature of somebody else is gone",
    )
  }),
  plan("legacy-leaves-what-is-none", ["OVMS-SIG-015"], async (scene) => {
    const { repository } = scene.registry
    const { digest } = store(repository, artifactOf(), "1")
    const tag = `${digest.replace(":", "-")}.sig`
    const other = store(repository, artifactOf({ plain: true }), tag)
    const { code } = await signedLegacy(scene)
    must(code !== undefined, "it signed, and the tag for that is somebody else's")
    must(repository.tags.get(tag) === other.digest, "it wrote over what is no signature")
  }),
]

async function signedLegacy(scene: Scene) {
  const { wrapper, registry, ...call } = scene
  const key = join(call.folder, "legacy.key")
  await writeFile(key, newKeys().privatePem, { mode: 0o600 })
  return await wrapper.call("sign-legacy", [key, registry.reference("1")], call)
}

const keyFiles: Check<Wrapper> = {
  name: "sign/key-of-its-user-alone",
  profile: "signing",
  covers: ["OVMS-SIG-042"],
  async run(wrapper, call) {
    const folder = join(call.folder, "keys")
    await mkdir(folder, { mode: 0o755 })
    const { code, stderr } = await wrapper.call("key", [folder], call)
    must(code === undefined, `making a key ended with ${code}: ${stderr.trim().slice(0, 300)}`)
    const paths = (await readdir(folder)).map((name) => join(folder, name))
    const texts = await Promise.all(paths.map(async (path) => [path, await readFile(path, "utf8")] as const))
    const secret = texts.filter(([, text]) => text.includes("PRIVATE KEY"))
    must(secret.length > 0, "there is no private key in the folder")
    for (const [path] of secret)
      must(((await stat(path)).mode & 0o077) === 0, "others than its user can read the private key")
  },
}

const besideSignatures: Check<Wrapper> = {
  name: "inspect/beside-signatures-of-cosign",
  profile: "core",
  covers: ["OVMS-SIG-061"],
  async run(wrapper, call) {
    const layout = await writeLayout(join(call.folder, "layout"), artifactOf(), "1")
    const path = join(layout, "index.json")
    const index = JSON.parse(await readFile(path, "utf8"))
    const saved = await saveSignature(layout)
    await writeFile(path, JSON.stringify({ ...index, manifests: [saved, ...index.manifests] }))
    const { code, stderr } = await wrapper.call("inspect", [layout], call)
    must(code === undefined, `the inspect ended with ${code}: ${stderr.trim().slice(0, 300)}`)
  },
}

/** A manifest as Cosign saves one beside the machine: its entry in the index. */
async function saveSignature(layout: string): Promise<object> {
  const manifest = artifactOf({ plain: true, document: { name: "signature" } })
  for (const bytes of [manifest.oci, ...manifest.blobs]) await writeBlob(layout, bytes)
  const annotations = { kind: "dev.cosignproject.cosign/sigs" }
  return { mediaType: OCI_MANIFEST, digest: manifest.digest, size: manifest.oci.length, annotations }
}

async function writeBlob(layout: string, bytes: Buffer): Promise<void> {
  await writeFile(join(layout, "blobs/sha256", digestOf(bytes).slice("sha256:".length)), bytes)
}

export const signerChecks: readonly Check<Wrapper>[] = [
  ...PLANS.map(withRegistry),
  keyFiles,
  besideSignatures,
]
