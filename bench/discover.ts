// How fast, and in how much memory, ovm shows and judges what is attached to one machine, beside cosign, which verifies
// it, and oras, which only lists it. `make bench-discover`;
// bench/discover.ts [--referrers N] [--registry ggcr-registry|distribution].
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { type RegistryProgram, startRegistry } from "@ovms/testkit/registry.ts"
import type { Descriptor } from "../packages/ovm/src/content/descriptor.ts"
import { OCI_INDEX, OCI_MANIFEST, parseLinks } from "../packages/ovm/src/content/manifest.ts"
import { MemoryStore } from "../packages/ovm/src/content/memory.ts"
import { fetchAll } from "../packages/ovm/src/content/read.ts"
import { limiter } from "../packages/ovm/src/files/limit.ts"
import { connectRepository } from "../packages/ovm/src/registry/connect.ts"
import { parseReference } from "../packages/ovm/src/registry/reference.ts"
import type { Signer } from "../packages/ovm/src/signing/interfaces.ts"
import { generateKeyPair } from "../packages/ovm/src/signing/keys/generate.ts"
import { keySigner, parsePrivateKey } from "../packages/ovm/src/signing/keys/private.ts"
import { sign } from "../packages/ovm/src/signing/sign.ts"
import { MACHINE, OVM, output, peer, withHome } from "./programs.ts"
import { type Run, run } from "./registry-measure.ts"
import { median } from "./turns.ts"

const { values: options } = parseArgs({
  options: {
    referrers: { type: "string", default: "1000" },
    rounds: { type: "string", default: "5" },
    registry: { type: "string", default: "ggcr-registry" },
  },
})
const COUNT = Number(options.referrers)

/**
 * Signs `subject` many times over. The list of referrers, where it is ours to keep, is written once and not a thousand
 * times: what is measured is reading.
 */
async function attachAll(subject: Descriptor, signer: Signer): Promise<void> {
  const memory = new MemoryStore()
  const entries: Descriptor[] = []
  for (let index = 0; index < COUNT; index++)
    entries.push(await sign(memory, subject, signer, { annotations: { index: `${index}` } }))
  const base = `http://${registry.host}/v2/bench/debian`
  const limit = limiter(8)
  const put = async (url: string, type: string, body: Uint8Array) => {
    const { status } = await fetch(url, { method: "PUT", headers: { "Content-Type": type }, body })
    if (status !== 201) throw new Error(`PUT ${url}: ${status}`)
  }
  const upload = async (target: Descriptor) => {
    const begun = await fetch(`${base}/blobs/uploads/`, { method: "POST" })
    const url = new URL(begun.headers.get("location") ?? "", base)
    url.searchParams.set("digest", target.digest)
    await put(url.href, "application/octet-stream", await fetchAll(memory, target))
  }
  const attach = async (entry: Descriptor) => {
    const bytes = await fetchAll(memory, entry)
    for (const child of parseLinks(bytes, entry.digest).children) await upload(child)
    await put(`${base}/manifests/${entry.digest}`, OCI_MANIFEST, bytes)
  }
  await Promise.all(entries.map((entry) => limit(() => attach(entry))))
  if (options.registry === "ggcr-registry") return
  const manifests = await Array.fromAsync(memory.referrers(subject))
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests }
  const tag = subject.digest.replace(":", "-")
  await put(`${base}/manifests/${tag}`, OCI_INDEX, Buffer.from(JSON.stringify(index)))
}

await using registry = await startRegistry({ program: options.registry as RegistryProgram })
await withHome(async (env, home) => {
  const name = `${registry.host}/bench/debian:12`
  output([OVM, "pack", "-f", join(MACHINE, "machine.json"), "-t", name], env)
  const { digest } = JSON.parse(output([OVM, "push", "--json", name], env))
  const pinned = `${registry.host}/bench/debian@${digest}`
  const pair = await generateKeyPair("p256", "")
  const key = join(home, "cosign.pub")
  writeFileSync(key, pair.publicKey)
  const signer = keySigner(await parsePrivateKey(pair.privateKey, async () => "", "the bench's key"))
  const { size } = await (await connectRepository(parseReference(name))).resolve(digest)
  await attachAll({ mediaType: OCI_MANIFEST, digest, size }, signer)

  const ways: Readonly<Record<string, readonly string[]>> = {
    "ovm discover --key": [OVM, "discover", "--key", key, name],
    "cosign verify --key": [
      ...[peer("cosign"), "verify", "--key", key, "--insecure-ignore-tlog", "--allow-http-registry", pinned],
    ],
    "cosign tree": [peer("cosign"), "tree", "--allow-http-registry", pinned],
    "oras discover": [peer("oras"), "discover", "--plain-http", pinned],
  }
  const runs: Record<string, Run[]> = {}
  for (let round = 0; round <= Number(options.rounds); round++)
    for (const [way, argv] of Object.entries(ways)) {
      const done = await run(argv, env)
      if (round > 0) runs[way] = [...(runs[way] ?? []), done]
    }
  const ours = runs["ovm discover --key"] ?? []
  const of = (all: readonly Run[], field: "ms" | "memory") => median(all.map((one) => one[field]))
  console.log(`${COUNT} signatures in ${options.registry}`)
  for (const [way, all] of Object.entries(runs)) {
    const [ms, memory] = [of(all, "ms"), of(all, "memory")]
    const ratios = `time ${(of(ours, "ms") / ms).toFixed(2)}, memory ${(of(ours, "memory") / memory).toFixed(2)}`
    console.log(`${way}: ${ms.toFixed(0)} ms, ${memory.toFixed(0)} MiB; ovm's ratio to it: ${ratios}`)
  }
})
