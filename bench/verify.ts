// How fast a signature is verified, and in how much memory, beside Cosign. `make bench-verify`.
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { startRegistry } from "@ovms/testkit/registry.ts"
import { connectRepository } from "../packages/ovm/src/registry/connect.ts"
import { parseReference } from "../packages/ovm/src/registry/reference.ts"
import { generateKeyPair } from "../packages/ovm/src/signing/keys/generate.ts"
import { keySigner, parsePrivateKey } from "../packages/ovm/src/signing/keys/private.ts"
import { sign } from "../packages/ovm/src/signing/sign.ts"
import { OVM, output, peer, withHome } from "./programs.ts"
import { inTurns, median, report } from "./turns.ts"

/** Signatures on one subject, of which the last one is by the key that is asked for. */
const MANY = 1000

/**
 * Runs a program from a small process, and prints the milliseconds that it took and the KiB that it had resident at
 * most. The system counts what a process was before it became that program, and this one is larger than what is
 * measured here.
 */
const LAUNCHER = `
import os, resource, subprocess, sys, time
began = time.monotonic()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
print((time.monotonic() - began) * 1000, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
`

/** Milliseconds of a run; the most memory that it had goes to `peaks`, in MiB. */
function run(argv: readonly string[], env: NodeJS.ProcessEnv, peaks: number[]) {
  return (): number => {
    const [time = Number.NaN, kib = Number.NaN] = output(["python3", "-c", LAUNCHER, ...argv], env)
      .split(" ")
      .map(Number)
    peaks.push(kib / 1024)
    return time
  }
}

await withHome(async (home, folder) => {
  const env = { ...home, COSIGN_PASSWORD: "", HOME: folder }
  const cosign = peer("cosign")
  const path = join(folder, "k")
  output([OVM, "key", "generate", "--output-key-prefix", path], env)

  async function compare(what: string, image: string, rounds: number, bound: number): Promise<void> {
    const peaks: [number[], number[]] = [[], []]
    const lenient = ["--insecure-ignore-tlog", "--allow-http-registry"]
    const [ours = Number.NaN, theirs = Number.NaN] = await inTurns(
      rounds,
      run([OVM, "verify", "--key", `${path}.pub`, image], env, peaks[0]),
      run([cosign, "verify", "--key", `${path}.pub`, ...lenient, image], env, peaks[1]),
    )
    report(`ovm verify, ${what}`, ours, { name: "cosign verify", took: theirs }, bound)
    const [our, their] = [median(peaks[0]), median(peaks[1])]
    const verdict = our <= their ? "holds" : "MISSED"
    console.log(
      `  peak of memory: ${our.toFixed(0)} MiB, cosign: ${their.toFixed(0)} MiB, ratio ${(our / their).toFixed(2)} (bound 1: ${verdict})`,
    )
  }

  for (const program of ["ggcr-registry", "distribution"] as const) {
    await using registry = await startRegistry({ program })
    const image = `${registry.host}/bench/machine:1`
    const push = [peer("oras"), "push", "--plain-http", "--disable-path-validation", image]
    output([...push, `${path}.pub:application/octet-stream`], env)
    output([OVM, "sign", "--key", `${path}.key`, image], env)
    await compare(`one signature, ${program}`, image, 31, 0.7)
    // A list without the referrers API is one document that each new entry rewrites: a thousand of them take minutes.
    if (program === "distribution") continue
    const many = `${registry.host}/bench/many:1`
    output([...push.with(-1, many), `${path}.pub:application/octet-stream`], env)
    const store = await connectRepository(parseReference(many), { plainHttp: true })
    const subject = await store.resolve("1")
    const stranger = (await generateKeyPair("p256", "")).privateKey
    const signer = keySigner(await parsePrivateKey(stranger, async () => "", "stranger"))
    for (let index = 1; index < MANY; index++) await sign(store, subject, signer)
    const key = await parsePrivateKey(await readFile(`${path}.key`, "utf8"), async () => "", "k")
    await sign(store, subject, keySigner(key))
    await compare(`the last of ${MANY} signatures, ${program}`, many, 5, 1)
  }
})
