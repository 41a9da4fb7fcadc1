// What a build costs that has nothing to do, beside the registry's answer, and one whose last RUN is another one,
// beside the same command in a machine that runs. `make bench-build`; bench/build.ts [--rounds N] [--loops N].
import { spawn } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { layerOf, writeContainer } from "@ovms/testkit/container.ts"
import { duration, MACHINE, OVM, output, withHome } from "./programs.ts"
import { inTurns, report } from "./turns.ts"

const { values: options } = parseArgs({
  // What the last RUN does takes some 5 s, emulated, where nothing else is done.
  options: { rounds: { type: "string", default: "3" }, loops: { type: "string", default: "200000" } },
})
/** In ms over the registry's answer, and of the time of the command alone. */
const [OVER, BOUND] = [100, 1.2]
const MANIFEST = "application/vnd.oci.image.manifest.v1+json"
const BUSYBOX = join(MACHINE, "../deb/busybox-static/bin/busybox")

await withHome(async (env, home) => {
  const at = (name: string) => join(home, name)
  const programs = ["sh", "true"].map((name) => ({ name: `bin/${name}`, type: "2", link: "busybox" }))
  const tar = layerOf([{ name: "bin/busybox", content: readFileSync(BUSYBOX), mode: 0o755 }, ...programs])
  await writeContainer(at("image"), [{ tar }], { Env: ["PATH=/bin"] })
  const registry = await registryIn(at("registry"), env)
  try {
    const base = `${registry.host}/bench/base:1`
    output([OVM, "copy", `oci:${at("image")}`, `docker://${base}`], env)
    output([OVM, "pack", "-f", join(MACHINE, "machine.json"), "-t", "kernel:1"], env)
    mkdirSync(at("context"))
    writeFileSync(at("context/page"), "a page\n")
    const command = (word: string) =>
      `i=0; while [ $i -lt ${options.loops} ]; do i=$((i+1)); done; echo ${word} >/done`
    const write = (word: string) =>
      writeFileSync(at("context/Dockerfile"), `FROM ${base}\nCOPY page /srv/\nRUN ${command(word)}\n`)
    const words = [OVM, "build", "-t", "made:1", "--kernel-from", "kernel:1", "-q", at("context")]
    write("first")
    output(words, env)

    const answer = async () => {
      const began = performance.now()
      const { config } = (await (
        await fetch(`http://${registry.host}/v2/bench/base/manifests/1`, { headers: { accept: MANIFEST } })
      ).json()) as { config: { digest: string } }
      await (await fetch(`http://${registry.host}/v2/bench/base/blobs/${config.digest}`)).arrayBuffer()
      return performance.now() - began
    }
    const [kept = 0, answered = 0] = await inTurns(20, () => duration(words, env), answer)
    const more = kept - answered
    console.log(
      `nothing changed: ${kept.toFixed(1)} ms, the registry's answer: ${answered.toFixed(1)} ms, ${more.toFixed(1)} ms more (bound ${OVER}: ${more <= OVER ? "holds" : "MISSED"})`,
    )

    writeFileSync(at("context/Before"), `FROM ${base}\nCOPY page /srv/\n`)
    const before = [OVM, "build", "-t", "before:1", "-f", at("context/Before"), ...words.slice(4)]
    output(before, env)
    output([OVM, "run", "-d", "--name", "alone", "before:1"], env)
    let count = 0
    const ours = () => {
      write(`changed-${count++}`)
      return duration(words, env)
    }
    const alone = () => duration([OVM, "exec", "alone", "/bin/sh", "-c", command(`alone-${count}`)], env)
    const [built = 0, took = 0] = await inTurns(Number(options.rounds), ours, alone)
    report("the last RUN changed", built, { name: "the same in a machine that runs", took }, BOUND)
    console.log(`  machine, layer and end: ${((built - took) / 1000).toFixed(1)} s more`)
    output([OVM, "rm", "--force", "alone"], env)
  } finally {
    registry.end()
  }
})

/** Our own, on a free port. */
async function registryIn(root: string, env: NodeJS.ProcessEnv) {
  const child = spawn(OVM, ["registry", "serve", "--address", "127.0.0.1:0", "--root", root], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...env, OVM_HOME: root },
  })
  let said = ""
  for await (const chunk of child.stdout) {
    said += chunk
    const [, port] = /http:\/\/127\.0\.0\.1:(\d+)/.exec(said) ?? []
    if (port) return { host: `localhost:${port}`, end: () => child.kill() }
  }
  throw new Error(`the registry did not start: ${said}`)
}
