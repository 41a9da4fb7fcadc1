import { afterAll, beforeAll, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { OvmError } from "../errors.ts"
import { Context, type ContextSource } from "./context.ts"
import { planBuild } from "./plan.ts"
import type { PlannedStage, StepWork } from "./planned.ts"
import { readDockerfile } from "./read.ts"

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovm-plan-"))
  await mkdir(join(folder, "site/deep"), { recursive: true })
  await writeFile(join(folder, "a.txt"), "a")
  await writeFile(join(folder, "b.txt"), "b")
  await writeFile(join(folder, "packed"), "packed")
  await writeFile(join(folder, "site/deep/page"), "page")
  await writeFile(join(folder, "site/secret"), "secret")
  await symlink("/etc/passwd", join(folder, "out"))
  await symlink("..", join(folder, "site/up"))
  await writeFile(join(folder, ".dockerignore"), "# all but one\n**/secret\nb.*\n!b.txt\n")
})
afterAll(() => rm(folder, { recursive: true }))

const base = async (reference: string) => {
  const triggers = reference === "triggers:1"
  if (reference === "nowhere:1") throw new OvmError("OVM_NAME_UNKNOWN", `there is no image ${reference}`)
  return {
    reference,
    digest: `sha256:${reference}`,
    settings: { Env: ["PATH=/bin"], Cmd: ["old"] },
    begins: false,
    triggers,
  }
}

/** What it is is told by the caller, as the bases are. */
const isArchive = async (path: string) => path.endsWith("/packed")

async function plan(
  text: string,
  more: { args?: Record<string, string>; target?: string } = {},
): Promise<PlannedStage> {
  const context = await Context.open(folder, [join(folder, ".dockerignore")])
  const { args = {}, ...others } = more
  const file = readDockerfile(Buffer.from(text), "Dockerfile")
  return await planBuild(file, { args: new Map(Object.entries(args)), context, base, isArchive, ...others })
}

async function refused(text: string, more: { target?: string } = {}): Promise<readonly string[]> {
  const thrown = await plan(text, more).then(
    () => undefined,
    (error) => error,
  )
  expect(thrown).toMatchObject({ code: "OVM_BUILD_INVALID" })
  return (thrown.detail as { message: string }[]).map(({ message }) => message)
}

const run = (stage: PlannedStage, at = 0) => stage.steps[at]?.work as Extract<StepWork, { kind: "run" }>
const copy = (stage: PlannedStage, at = 0) => stage.steps[at]?.work as Extract<StepWork, { kind: "copy" }>

test("variables are expanded as Docker does it, and a RUN has them in its environment [OVMS-BLD-012]", async () => {
  const stage = await plan(
    [
      "ARG OF=machine",
      "FROM ${OF}:1",
      "ARG A=1 UNSET",
      "ENV B=\"x $A\" C='$A' D=${NONE:-d}${A:+e} E=\\$A",
      "ENV F one  two",
      "RUN echo $A \\",
      "  # a remark",
      "  && true",
    ].join("\n"),
    { args: { A: "2" } },
  )
  expect(run(stage)).toMatchObject({
    command: ["/bin/sh", "-c", "echo $A   && true"],
    environment: ["A=2", "PATH=/bin", "B=x 2", "C=$A", "D=de", "E=$A", "F=one  two"],
    directory: "/",
  })
})

test("arguments are known from where they are declared on, in what begins with that stage, too [OVMS-BLD-012, OVMS-BLD-046]", async () => {
  const stage = await plan(
    [
      "ARG OF=m",
      "FROM ${OF}-${TARGETARCH} AS one",
      "ARG A=1 B=$A$OF",
      "ARG OF",
      "FROM one",
      "ARG A C=$OF TARGETOS",
      "RUN true",
    ].join("\n"),
    { args: { C: "of the user" } },
  )
  expect(stage.from).toMatchObject({ from: { reference: "m-amd64" } })
  expect(run(stage).environment).toEqual([
    "A=1",
    "B=1",
    "C=of the user",
    "OF=m",
    "TARGETOS=linux",
    "PATH=/bin",
  ])
})

test("a folder that WORKDIR makes is the user's [OVMS-BLD-047]", async () => {
  const { steps } = await plan("FROM m\nWORKDIR /a\nUSER web:www\nWORKDIR b")
  expect(steps.map(({ work }) => work)).toEqual([
    { kind: "folder", path: "/a" },
    { kind: "folder", path: "/a/b", user: "web:www" },
  ])
})

test("what writes nothing makes no step, and says what the machine is for [OVMS-BLD-013, OVMS-BLD-030]", async () => {
  const stage = await plan(
    'FROM m\nUSER web:www\nEXPOSE 80 90-91/udp\nENTRYPOINT ["serve"]\nVOLUME /data\nLABEL a=b "c d"=e\n' +
      'STOPSIGNAL SIGINT\nHEALTHCHECK --interval=1m30s --retries=2 CMD curl x\nSHELL ["/bin/bash", "-c"]\nCMD now',
  )
  expect(stage.steps).toEqual([])
  expect(stage.settings).toEqual({
    Env: ["PATH=/bin"],
    User: "web:www",
    ExposedPorts: { "80/tcp": {}, "90/udp": {}, "91/udp": {} },
    Entrypoint: ["serve"],
    Volumes: { "/data": {} },
    Labels: { a: "b", "c d": "e" },
    StopSignal: "SIGINT",
    Healthcheck: { Test: ["CMD-SHELL", "curl x"], Interval: 90e9, Retries: 2 },
    Shell: ["/bin/bash", "-c"],
    Cmd: ["/bin/bash", "-c", "now"],
  })
  const { settings } = await plan('FROM m\nENTRYPOINT ["serve"]')
  expect(settings.Cmd).toBeUndefined()
})

test("a COPY has what is in the context, without what is left out of it [OVMS-BLD-014]", async () => {
  const stage = await plan(
    'FROM m\nWORKDIR srv/www\nCOPY --chown=1:2 --chmod=0640 site "*.txt" ./\nCOPY ["a.txt", "/x y"]',
  )
  const { to, into, chown, chmod, sources } = copy(stage, 1)
  expect({ to, into, chown, chmod }).toEqual({ to: "/srv/www", into: true, chown: "1:2", chmod: 0o640 })
  const names = (sources as Exclude<typeof sources, { stage: unknown }>).map(({ name, entries }) => [
    name,
    ...entries.map((entry) => `${entry.kind} ${entry.name}`),
  ])
  expect(names).toEqual([
    ["site", "folder deep", "file deep/page", "link up"],
    ["a.txt", "file "],
    ["b.txt", "file "],
  ])
  expect(copy(stage, 2)).toMatchObject({ to: "/x y", into: false })
})

test("a key is of all that a layer depends on, and of nothing else [OVMS-BLD-020]", async () => {
  const text = "FROM m\nARG A\nENV B=1\nRUN one\nCOPY a.txt /x\nLABEL l=1\nRUN two"
  const keys = async (text: string, args: Record<string, string> = {}) =>
    (await plan(text, { args })).steps.map(({ key }) => key)
  const first = await keys(text)
  expect(await keys(text.replace("l=1", "l=2"), { https_proxy: "p" })).toEqual(first)
  expect(await keys(text.replace("RUN two", "RUN three"))).toEqual([...first.slice(0, 2), expect.anything()])
  for (const other of [
    text.replace("FROM m", "FROM n"),
    text.replace("B=1", "B=2"),
    text.replace("RUN one", "RUN  1"),
  ])
    expect((await keys(other)).filter((key) => first.includes(key))).toEqual([])
  expect((await keys(text, { A: "2" })).filter((key) => first.includes(key))).toEqual([])
  await writeFile(join(folder, "a.txt"), "other")
  const changed = await keys(text)
  expect(changed.map((key) => first.includes(key))).toEqual([true, false, false])
  await chmod(join(folder, "a.txt"), 0o600)
  expect((await keys(text))[1]).not.toBe(changed[1])
})

test("stages are made as far as they are needed [OVMS-BLD-015]", async () => {
  const text =
    "FROM m AS one\nRUN a\nFROM nowhere:1 AS two\nRUN b\nFROM one\nCOPY --from=ONE /etc/x y /z/\nCOPY --from=n:2 /a /b"
  const stage = await plan(text)
  expect(stage.from).toMatchObject({ name: "one" })
  expect(copy(stage)).toMatchObject({ sources: { stage: { name: "one" }, paths: ["/etc/x", "/y"] } })
  expect(copy(stage, 1)).toMatchObject({ sources: { stage: { reference: "n:2" }, paths: ["/a"] } })
  expect((await plan(text, { target: "0" })).name).toBe("one")
  expect(await refused(text, { target: "two" })).toEqual(["line 3: there is no image nowhere:1"])
})

test("what is not supported is refused by its line, all of it at once [OVMS-BLD-010, OVMS-BLD-011, OVMS-BLD-048]", async () => {
  expect(
    await refused(
      "FROM m AS scratch\nFROM m\nONBUILD RUN x\nFOO bar\nRUN --mount=type=cache,target=/x y\nADD --checksum=x a b\nRUN <<EOF\nhi\nEOF\nRUN",
    ),
  ).toEqual([
    'line 1: "scratch" is no name of a stage',
    "line 3: ONBUILD is not supported",
    "line 4: FOO is not supported",
    "line 5: RUN --mount is not supported",
    "line 6: ADD --checksum is not supported",
    "line 7: heredocs are not supported",
    "line 10: RUN says nothing",
  ])
  expect(
    await refused(
      'FROM m\nADD https://example.com/x /x\nCOPY out /x\nCOPY ../a /x\nCOPY site/up/.. /x\nCOPY none /x\nCOPY site/secret /x\nCOPY a.txt b.txt /x\nENV A="${B:?not there}"\nEXPOSE 0\nADD --chown=1 packed /\nCOPY --chown=$( a.txt /',
    ),
  ).toEqual([
    expect.stringContaining("line 2: ADD of https://example.com/x is not supported"),
    "line 3: out leads out of the context",
    "line 4: ../a leads out of the context",
    "line 6: none is not in the context",
    "line 7: site/secret is not in the context: it is left out of it",
    "line 8: several things go into a folder: write /x/",
    "line 9: B: not there",
    'line 10: EXPOSE: "0" is no port',
    "line 11: ADD --chown of the archive packed is not supported: have a RUN do it",
    "line 12: --chown=$( is not USER or USER:GROUP",
  ])
  expect(await refused("FROM m\nCOPY --from=3 /a /b")).toEqual([
    'line 2: there is no stage "3" before this one',
  ])
  expect(await refused("FROM m AS a\nCOPY --from=b /a /b\nFROM m AS b")).toEqual([
    'line 2: there is no stage "b" before this one',
  ])
  expect(await refused("FROM triggers:1")).toEqual([
    "line 1: triggers:1 has an ONBUILD, which is not supported",
  ])
  expect((await plan("FROM m\nCOPY --from=triggers:1 /a /b")).steps.length).toBe(1)
  expect(
    await refused("FROM m\nSTOPSIGNAL SIGRTMIN+3\nSTOPSIGNAL 9\nSTOPSIGNAL int\nSTOPSIGNAL end"),
  ).toEqual(['line 5: STOPSIGNAL: "end" is no signal'])
  expect(await refused("RUN x")).toEqual(["line 1: RUN stands before the first FROM"])
  expect(await refused("")).toEqual(["line 1: it has no FROM, by which it would begin"])
  expect(await refused("FROM m\n# all \\\\\nRUN echo \\\\ \nRUN x")).toEqual([
    "line 3: a line that ends in \\\\ is not supported",
  ])
  expect(await refused(`FROM m\nENV A=${"x".repeat(31_000)}\nRUN a\nENV B=$A\nRUN b`)).toEqual([
    "line 5: RUN has more than 61440 bytes with its environment",
  ])
  await mkdir(join(folder, "odd"))
  await writeFile(Buffer.concat([Buffer.from(join(folder, "odd/name")), Buffer.of(0xff)]), "")
  await writeFile(join(folder, "odd/\ufffd"), "")
  expect(await refused("FROM m\nCOPY odd /x")).toEqual([
    'line 2: "odd/name\ufffd" has a name that is not UTF-8, which is not supported',
  ])
  await rm(join(folder, "odd"), { recursive: true })
  await symlink(Buffer.of(0xff), join(folder, "odd-link"))
  expect(await refused("FROM m\nCOPY . /x")).toEqual([
    "line 2: odd-link leads to a name that is not UTF-8, which is not supported",
  ])
  await rm(join(folder, "odd-link"))
  expect(await refused("FROM m", { target: "none" })).toEqual(['line 1: there is no stage "none"'])
})

test("an ADD unpacks an archive, and a COPY does not [OVMS-BLD-045]", async () => {
  const stage = await plan("FROM m\nADD packed a.txt /x/\nCOPY packed /x/")
  const marks = [0, 1].map((at) =>
    (copy(stage, at).sources as readonly ContextSource[]).map(({ archive }) => archive),
  )
  expect(marks).toEqual([[true, undefined], [undefined]])
  const [added, copied] = await Promise.all(["ADD", "COPY"].map((word) => plan(`FROM m\n${word} packed /x/`)))
  expect(added?.key).not.toBe(copied?.key ?? "")
})

test("variables that would grow without end are refused by their line [OVMS-BLD-011]", async () => {
  const four = (name: string) => `$${name}`.repeat(4)
  const grow = Array.from({ length: 20 }, (_, index) => `ARG A${index + 1}="${four(`A${index}`)}"`)
  const lines = ["ARG A0=aaaaaaaaaa", ...grow, "FROM x:1"]
  expect((await refused(lines.join("\n")))[0]).toMatch(/^line 8: .*131072/)
})

test("a .dockerignore with a line that is no pattern is refused by it [OVMS-BLD-011]", async () => {
  const file = join(folder, "odd.dockerignore")
  await writeFile(file, "# [\nkept/[\n!\n[z-a]\n.\n")
  await expect(Context.open(folder, [file])).rejects.toMatchObject({
    code: "OVM_BUILD_INVALID",
    message: `${file}:2: "kept/[" is no pattern (and 2 more)`,
  })
})

test("a .dockerignore that cannot be read is refused, and not taken for none", async () => {
  const [pipe, directory] = [join(folder, "pipe"), join(folder, "site")]
  expect(spawnSync("mkfifo", [pipe]).status).toBe(0)
  for (const file of [pipe, directory])
    await expect(Context.open(folder, [file])).rejects.toMatchObject({ code: "OVM_FILE_UNREADABLE" })
  await rm(pipe)
})
