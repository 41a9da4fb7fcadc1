import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { COMMANDS } from "../src/cli/commands.ts"
import { FOREIGN } from "../src/cli/foreign.ts"
import { VERSION } from "../src/version.ts"
import { expectFailure, Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// What the program says of itself, and what it says to a wrong command line.

let box: Sandbox
beforeAll(async () => {
  box = await Sandbox.create()
})
afterAll(() => box[Symbol.asyncDispose]())

const visible = COMMANDS.filter((command) => !command.hidden).map(({ name }) => name)

describe("help", () => {
  test("without arguments it lists every command and touches nothing", async () => {
    const help = await box.ok([])
    for (const name of visible) expect(help).toMatch(new RegExp(`^  ${name} +[A-Z]`, "m"))
    expect(help).not.toContain("__complete")
    expect(await box.ok(["--help"])).toBe(help)
    expect(existsSync(box.home)).toBe(false)
  })

  test.each(visible)("%s --help has an example, which `help` repeats", async (name) => {
    const help = await box.ok([name, "--help"])
    expect(help).toStartWith(`Usage: ovm ${name}`)
    expect(help).toContain(`\nExamples:\n`)
    expect(help).toMatch(/^ {2}\$ .*\bovm /m)
    expect(await box.ok(["help", name])).toBe(help)
  })
})

test("version", async () => {
  for (const spelling of ["version", "--version", "-V"])
    expect(await box.ok([spelling])).toBe(`ovm ${VERSION}`)
  expect(await box.json(["version"])).toMatchObject({ version: VERSION })
})

describe("a wrong command line is OVM_USAGE, status 2, and says what was meant", () => {
  test.each([
    [["pul"], ["unknown command 'pul'", "Did you mean", "pull"]],
    [
      ["help", "pul"],
      ["unknown command 'pul'", "pull"],
    ],
    [
      ["pul", "--help"],
      ["unknown command 'pul'", "pull"],
    ],
    [
      ["help", "registry", "nope"],
      ["unknown command 'registry nope'", "ovm registry --help"],
    ],
    [
      ["registry", "probe"],
      ["missing required argument", "ovm registry probe --help"],
    ],
    [
      ["key", "public", "--jsno"],
      ["required option", "ovm key public --help"],
    ],
    [
      ["ps", "--jsno"],
      ["unknown option '--jsno'", "--json", "ovm ps --help"],
    ],
    [["status"], ["missing required argument 'instance'", "ovm status --help"]],
    [["tag", "a", "b", "c"], ["too many arguments"]],
    [
      ["validate", "a", "b"],
      ["--as", "ovm validate --help"],
    ],
    [["validate", "--as", "artifact", "a"], ["artifact is 2 files, not 1"]],
    [["validate", "--as", "disk", "a.qcow2"], ["qcow2:FILE"]],
    [["pack", "--kernel", "vmlinuz"], ["--tag"]],
    [["pack", "-t", "a"], ["nothing to pack"]],
    [
      ["pack", "-t", "a", "-f", "x.json", "--kernel", "vmlinuz"],
      ["--file", "--kernel"],
    ],
    [
      ["pack", "-t", "a", "-f", "x.json", "--disk", "d.qcow2"],
      ["--file", "--layer"],
    ],
    [
      ["pack", "-t", "a", "--layer", "d.qcow2", "--args", "quiet"],
      ["--args", "--kernel"],
    ],
    [
      ["run", "a", "--memory", "512MB"],
      ["--memory", "512MB", "512MiB"],
    ],
    [
      ["run", "a", "--memory", "256"],
      ["256 bytes", "--memory 256MiB"],
    ],
    [
      ["pack", "--kernel", "x", "-t", "a", "--memory", "256"],
      ["256 bytes", "--memory 256MiB"],
    ],
    [
      ["create", "a", "--disk-size", "20"],
      ["20 bytes", "--disk-size 20MiB"],
    ],
    [
      ["run", "a", "--cpu-quota", "50%"],
      ["--cpu-quota", "50%"],
    ],
    [
      ["run", "a", "--cpus", "none"],
      ["--cpus", "none"],
    ],
    [
      ["run", "a", "--pull", "often"],
      ["--pull", "missing, always, never"],
    ],
    [
      ["run", "a", "--rm", "--restart", "always"],
      ["--rm", "--restart"],
    ],
    [
      ["stop", "--time", "601", "web"],
      ["--time", "601", "from 0 to 600"],
    ],
    [
      ["daemon", "--stop", "--detach"],
      ["--stop", "--detach"],
    ],
    [
      ["completion", "tcsh"],
      ["tcsh", "bash, zsh, fish"],
    ],
    [["login", "http://registry.example.com/"], ["not a host"]],
    [
      ["login", "registry.example.com"],
      ["not a terminal", "--username"],
    ],
    [
      ["login", "registry.example.com", "-u", "me"],
      ["not a terminal", "--password-stdin"],
    ],
    [["login", "registry.example.com", "-u", "me", "--password-stdin"], ["password is empty"]],
  ])("ovm %p", async (args, culprits) => {
    const { stdout } = await box.fails(args, "OVM_USAGE", culprits)
    expect(stdout).toBe("")
    expect(existsSync(box.path("home/store"))).toBe(false)
  })
})

describe("a word of other tools is answered, and never by a likeness of letters", () => {
  test.each([
    ["kill", "ovm stop --time 0"],
    ["scp", "ovm ssh ID"],
    ["reboot", "ovm restart"],
    ["ls", "ovm ps"],
    ["list", "ovm images"],
    ["domrename", "ovm rename"],
    ["delete", "ovm rmi"],
    ["destroy", "ovm rm"],
    ["console", "ovm attach"],
    ["undefine", "ovm rm"],
    ["apply", "ovm run"],
  ])("ovm %s", async (word, hint) => {
    for (const args of [[word], [word, "web", "--help"], ["help", word]])
      expect((await box.fails(args, "OVM_USAGE", [`unknown command '${word}'`, hint])).stderr).not.toContain(
        "mean",
      )
  })

  test("and they name commands that there are; what they name is none of them", () => {
    for (const [word, hint = ""] of Object.entries(FOREIGN)) {
      expect([word, visible.includes(word)]).toEqual([word, false])
      for (const [, name = ""] of hint.matchAll(/\bovm ([a-z]+)/g)) expect(visible).toContain(name)
    }
  })

  test("what is like nothing is not guessed", async () => {
    for (const word of ["nope", "toString", "constructor"])
      expect((await box.fails([word], "OVM_USAGE", ["ovm --help"])).stderr).not.toContain("mean")
  })
})

test("a full standard output is an error of one line, of every command that prints", async () => {
  await using host = await Sandbox.create()
  const full = [
    "version",
    "--version",
    "version --json",
    "--help",
    "help run",
    "images",
    "ps",
    "info",
    "completion fish",
  ]
  for (const command of full) {
    const result = await host.shell(`ovm ${command} >/dev/full`)
    expectFailure(result, "OVM_NO_SPACE", ["standard output"])
    expect(result.stderr.split("\n").length).toBeLessThanOrEqual(3)
  }
})

describe("a reference that is none names itself", () => {
  test.each([
    [["tag", "a", "UPPER"]],
    [["pull", "registry.example.com/a:b:c"]],
    [["pull", "registry.example.com/a@sha256:12"]],
    [["push", "registry.example.com/../etc"]],
    [["rmi", "a\nb"]],
    [["run", "-", "--detach"]],
  ])("ovm %p", async (args) => {
    await box.fails(args, "OVM_REFERENCE_INVALID", ["is not an image reference"])
  })

  test("push and pull need a registry, and say how to name one", async () => {
    await box.fails(["push", "debian"], "OVM_REFERENCE_INVALID", [
      "debian:latest",
      "ovm tag debian HOST/debian:latest",
    ])
    await box.fails(["pull", "debian"], "OVM_REFERENCE_INVALID", ["debian:latest", "HOST/debian:latest"])
  })
})

describe("completion", () => {
  const complete = async (...words: string[]) =>
    (await box.ok(["__complete", "--", ...words])).split("\n").map((line) => line.split("\t")[0])

  test("commands, options, values", async () => {
    expect(await complete("p")).toEqual(["pack", "push", "pull", "prune", "pause", "ps", "port", "policy"])
    expect(await complete("ps", "--")).toEqual(["--all", "--quiet", "--json", "--filter", "--help"])
    expect(await complete("run", "--pull", "")).toEqual(["missing", "always", "never"])
    expect(await complete("completion", "")).toEqual(["bash", "zsh", "fish"])
    expect(await complete("registry", "")).toEqual(["serve", "probe"])
    expect(await complete("policy", "check", "--")).toEqual([
      "--plain-http",
      "--platform",
      "--json",
      "--help",
    ])
    expect(await complete("help", "re")).toEqual(["registry", "restart", "resume", "rename"])
    expect(await complete("help", "key", "")).toEqual(["generate", "public"])
    expect(await complete("he")).toEqual(["help"])
    expect(await complete("pack", "--kernel", "")).toEqual([":files"])
    expect(await complete("nonsense", "")).toEqual([""])
  })
})

test("a reader that goes away is no error", async () => {
  const { stderr } = await box.shell("{ sleep 0.2; ovm --help; echo $? >&2; } | true")
  expect(stderr).toBe("0\n")
})

test("without a daemon and without instances there is nothing to see, and none is started", async () => {
  expect(await box.instances()).toEqual([])
  for (const command of ["status", "logs", "stop", "rm"])
    await box.fails([command, "web"], "OVM_INSTANCE_UNKNOWN", ['"web"', "ovm ps --all"])
  expect(await box.json(["info"])).toMatchObject({
    version: VERSION,
    daemon: { running: false },
    store_size: 0,
  })
  await box.fails(["daemon", "--stop"], "OVM_DAEMON_UNREACHABLE", [box.home])
})
