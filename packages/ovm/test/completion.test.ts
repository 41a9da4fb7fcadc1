import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { chmod, readFile } from "node:fs/promises"
import { join } from "node:path"
import { until } from "../../testkit/src/until.ts"
import { digestOf } from "../src/content/digest.ts"
import { openLayout } from "../src/content/layout/store.ts"
import { bytesOf } from "../src/content/read.ts"
import { PROGRAM, Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// The scripts that `ovm completion` prints, in the shells that they are for: a line is typed, completed and entered.

const OCI = "application/vnd.oci.image.manifest.v1+json"
const IMAGE = "registry.example.com/demo/one:first"

/** How each is begun without anybody's own settings, and told of the script and of a prompt. */
const SHELLS = {
  bash: {
    args: ["--norc", "--noprofile", "-i"],
    prepare: (script: string) => `source ${script}; PS1='REA''DY '`,
  },
  zsh: {
    args: ["-f", "-i"],
    prepare: (script: string) => `autoload -U compinit; compinit -D -u; source ${script}; PS1='REA''DY '`,
  },
}

let box: Sandbox
beforeAll(async () => {
  box = await Sandbox.create()
  await box.ok(["prune"])
  await box.ok(["volume", "create", "database", "--size", "1MiB"])
  await using store = await openLayout(join(box.home, "store"))
  const config = { mediaType: "application/json", digest: digestOf(""), size: 0 }
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI, config, layers: [] }))
  const target = { mediaType: OCI, digest: digestOf(bytes), size: bytes.byteLength }
  await store.push(target, bytesOf(bytes))
  await store.tag(target, IMAGE)
  const program = PROGRAM.map((word) => `'${word}'`).join(" ")
  const said = `printf '%s\\n' "$@" > ${box.path("entered")}`
  await box.file("ovm", `#!/bin/sh\nif [ "$1" = __complete ]; then exec ${program} "$@"; fi\n${said}\n`)
  await chmod(box.path("ovm"), 0o755)
  await box.file("machine.json", "{}")
})
afterAll(() => box[Symbol.asyncDispose]())

/** The words that `ovm` is called with once `line` and a tab were typed. */
async function entered(shell: keyof typeof SHELLS, line: string): Promise<string[]> {
  const { args, prepare } = SHELLS[shell]
  const script = await box.file(`completion.${shell}`, `${await box.ok(["completion", shell])}\n`)
  await box.file("entered", "")
  let output = ""
  await using terminal = new Bun.Terminal({
    cols: 120,
    rows: 40,
    data: (_, bytes) => {
      output += Buffer.from(bytes).toString()
    },
  })
  const env = box.environment({ PATH: `${box.directory}:${process.env.PATH}`, TERM: "xterm" })
  const child = Bun.spawn([shell, ...args], { cwd: box.directory, env, terminal })
  try {
    await until("the shell reads", () => output, { is: (text) => text !== "" })
    terminal.write(`${prepare(script)}\r`)
    await until("the shell is ready", () => output, { is: (text) => text.includes("READY ") })
    output = ""
    terminal.write(`${line}\t\r`)
    const text = await until("the line was entered", () => readFile(box.path("entered"), "utf8"), {
      is: (words) => words.endsWith("\n"),
    })
    return text.trimEnd().split("\n")
  } finally {
    child.kill("SIGKILL")
    await child.exited
  }
}

/**
 * What fish completes `line` to. It says so itself (`complete -C`), and would want a terminal of its own for the rest.
 */
async function offered(line: string): Promise<string[]> {
  const script = await box.file("completion.fish", `${await box.ok(["completion", "fish"])}\n`)
  const fish = `fish --no-config -c 'source ${script}; complete -C "${line}"'`
  const { stdout } = await box.shell(`PATH=${box.directory}:$PATH ${fish}`)
  const [word = ""] = stdout.split(/[\t\n]/)
  return [...line.split(" ").slice(1, -1), word]
}

for (const shell of ["bash", "zsh", "fish"] as const) {
  const missing = Bun.which(shell) === null
  if (missing) console.log(`SKIP packages/ovm/test/completion.test.ts: there is no ${shell}`)
  describe.skipIf(missing)(shell, () => {
    test.each([
      ["a command", "ovm vers", ["version"]],
      ["an option", "ovm ps --js", ["ps", "--json"]],
      ["a command below another", "ovm registry pro", ["registry", "probe"]],
      ["what help is asked for", "ovm help key gen", ["help", "key", "generate"]],
      ["a name", "ovm rmi regi", ["rmi", IMAGE]],
      ["a name behind a slash", "ovm inspect registry.example.com/de", ["inspect", IMAGE]],
      ["a name behind a colon", "ovm inspect registry.example.com/demo/one:fi", ["inspect", IMAGE]],
      ["a volume", "ovm volume rm dat", ["volume", "rm", "database"]],
      ["an option's volume", "ovm run -v dat", ["run", "-v", "database"]],
      ["a file", "ovm pack --file mach", ["pack", "--file", "machine.json"]],
    ])("%s", async (_, line, words) => {
      expect(await (shell === "fish" ? offered(line) : entered(shell, line))).toEqual(words)
    })
  })
}
