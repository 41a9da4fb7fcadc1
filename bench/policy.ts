// What a policy costs at POST /start for an image that was verified before: its own calls, by the clock, and the whole
// request to two daemons in turns, one of which has a policy and the other none. Then what verifying costs the first
// time.
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { packGuest } from "@ovms/testkit/image.ts"
import { makeSigner, type TestSigner } from "@ovms/testkit/signers.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import { openLayout } from "../packages/ovm/src/content/layout/store.ts"
import { askedOf, readRoot } from "../packages/ovm/src/images/root.ts"
import { parseReference } from "../packages/ovm/src/registry/reference.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { Policy } from "../packages/ovm/src/signing/policy/policy.ts"
import { sign } from "../packages/ovm/src/signing/sign.ts"
import { evidenceIn } from "../packages/ovm/src/signing/source.ts"
import { OVM, output, withHome } from "./programs.ts"
import { inTurns, median } from "./turns.ts"

const NAME = "registry.example.com/bench/policy:1"
const ROUNDS = 60
const BOUND = 0.3

/** A store with the image, signed, and a policy of several scopes and keys around it. */
async function prepare(home: string, signer: TestSigner, strict: boolean): Promise<void> {
  await packGuest(join(home, "store"), NAME, "tick_ms=1000")
  await using store = await openLayout(join(home, "store"))
  await sign(store, await store.resolve(NAME), signer, { reference: NAME })
  if (!strict) return
  const keys = []
  for (let at = 0; at < 8; at++) {
    await writeFile(join(home, `${at}.pub`), at === 7 ? signer.public : (await makeSigner()).public)
    keys.push({ path: `${at}.pub` })
  }
  const scope = {
    requirements: [
      { type: "signed", keys },
      { type: "platforms", allowed: ["linux/amd64"] },
    ],
  }
  const others = Array.from({ length: 100 }, (_, at) => [`r${at}.example.com`, scope])
  const scopes = { ...Object.fromEntries(others), "registry.example.com/bench": scope }
  const policy = { schemaVersion: 1, default: { requirements: [{ type: "reject" }] }, scopes }
  await writeFile(join(home, "policy.json"), JSON.stringify(policy))
}

/** The calls that a start makes of it, again and again: milliseconds of each round, and of the first. */
async function calls(home: string): Promise<{ first: number; again: number[] }> {
  await using store = await openLayout(join(home, "store"))
  const reference = parseReference(NAME)
  const target = await store.resolve(NAME)
  const asked = askedOf({ reference: NAME, name: reference, target }, await readRoot(store, target, {}))
  const source = evidenceIn(store, `${reference.name}:`)
  const policy = new Policy(join(home, "policy.json"))
  const once = async () => {
    const began = performance.now()
    policy.isAdmitted(NAME, target.digest)
    await policy.check()
    await policy.admit(asked, source)
    return performance.now() - began
  }
  const first = await once()
  const again: number[] = []
  for (let round = 0; round < 2000; round++) again.push(await once())
  return { first, again }
}

async function start(runtime: Runtime): Promise<number> {
  const began = performance.now()
  const { instance_id } = await runtime.start({ manifest: NAME })
  const time = performance.now() - began
  await runtime.remove(instance_id, { force: true })
  return time
}

const signer = await makeSigner()
const plain = await mkdtemp(join(tmpdir(), "ovm-bench-"))
try {
  await prepare(plain, signer, true)
  const { first, again } = await calls(plain)
  const p50 = median(again)
  const p99 = again.toSorted((a, b) => a - b)[Math.ceil(again.length * 0.99) - 1] ?? Number.NaN
  const verdict = p50 <= BOUND ? "holds" : "MISSED"
  console.log(
    `policy at POST /start, verified before: p50 ${p50.toFixed(3)} ms, p99 ${p99.toFixed(3)} ms (bound ${BOUND} ms: ${verdict}); the first time ${first.toFixed(1)} ms`,
  )
} finally {
  await rm(plain, { recursive: true })
}

await withHome((strictEnv, strict) =>
  withHome(async (freeEnv, free) => {
    await prepare(strict, signer, true)
    await prepare(free, signer, false)
    output([OVM, "daemon", "--detach"], strictEnv)
    output([OVM, "daemon", "--detach"], freeEnv)
    const [ruled, unruled] = [strict, free].map((home) => connect(join(home, "ovm.sock"))) as [
      Runtime,
      Runtime,
    ]
    const [with_ = Number.NaN, without = Number.NaN] = await inTurns(
      ROUNDS,
      () => start(ruled),
      () => start(unruled),
    )
    console.log(
      `POST /start until its answer, the same image: with a policy ${with_.toFixed(2)} ms, without ${without.toFixed(2)} ms, ratio ${(with_ / without).toFixed(2)}`,
    )
  }),
)
