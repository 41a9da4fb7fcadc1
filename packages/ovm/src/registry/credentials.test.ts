import { expect, test } from "bun:test"
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { failure } from "../content/store.suite.ts"
import { DockerCredentials } from "./credentials.ts"

const SECRET = "s3cr3t:with:colons"
const base64 = (text: string) => Buffer.from(text).toString("base64")

/** A folder with a config.json, and with credential helpers that are shell scripts. */
async function withConfig(
  config: unknown,
  run: (credentials: DockerCredentials, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-docker-"))
  try {
    if (config !== undefined)
      await writeFile(
        join(folder, "config.json"),
        typeof config === "string" ? config : JSON.stringify(config),
      )
    await run(new DockerCredentials({ env: { DOCKER_CONFIG: folder } }), folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Runs with a helper program `docker-credential-NAME` on PATH. */
async function withHelper(
  name: string,
  script: string,
  config: object,
  run: Parameters<typeof withConfig>[1],
) {
  await withConfig(config, async (credentials, folder) => {
    await mkdir(join(folder, "bin"))
    const program = join(folder, "bin", `docker-credential-${name}`)
    await writeFile(program, `#!/bin/sh\nfolder=${folder}\n${script}\n`)
    await chmod(program, 0o755)
    const before = process.env.PATH
    process.env.PATH = `${join(folder, "bin")}:${before}`
    try {
      await run(credentials, folder)
    } finally {
      process.env.PATH = before
    }
  })
}

test.each([
  ["user and password in base64", { auth: base64(`me:${SECRET}`) }, { username: "me", password: SECRET }],
  ["user and password in clear", { username: "me", password: SECRET }, { username: "me", password: SECRET }],
  ["an identity token", { auth: base64("me:"), identitytoken: "idt" }, { identityToken: "idt" }],
  ["an entry for a helper", {}, undefined],
])("reads %s", (_, entry, expected) =>
  withConfig({ auths: { "r.example:5000": entry } }, async (credentials) => {
    expect(await credentials.get("r.example:5000")).toEqual(expected)
    expect(await credentials.get("r.example")).toBeUndefined()
    expect(await credentials.get("other.example:5000")).toBeUndefined()
  }),
)

test("no file means anonymous, and old keys are whole URLs", async () => {
  await withConfig(undefined, async (credentials) =>
    expect(await credentials.get("r.example")).toBeUndefined(),
  )
  const auth = base64("me:x")
  await withConfig({ auths: { "https://r.example/v1/": { auth } } }, async (credentials) =>
    expect(await credentials.get("r.example")).toEqual({ username: "me", password: "x" }),
  )
  await withConfig({ auths: { "https://index.docker.io/v1/": { auth } } }, async (credentials) =>
    expect(await credentials.get("docker.io")).toEqual({ username: "me", password: "x" }),
  )
})

test.each([
  ["is not a JSON object", `{"auths": "${SECRET}`],
  ["is not a JSON object", "[]"],
  [
    "auth is not USER:PASSWORD",
    { auths: { "r.example": { auth: base64(`no-colon-${SECRET.replaceAll(":", "")}`) } } },
  ],
  ["a name that no program can have", { credsStore: "../../bin/sh" }],
  ["could not be started", { credHelpers: { "r.example": "no-such-helper" } }],
])("what cannot be used is named, without secrets: %s", (reason, config) =>
  withConfig(config, async (credentials) => {
    const error = await failure(credentials.get("r.example"), "OVM_CREDENTIALS_UNAVAILABLE")
    expect(error.message).toContain(reason)
    expect(JSON.stringify([error.message, error.detail, String(error.cause)])).not.toContain("s3cr3t")
  }),
)

test("login writes the file with mode 0600 and keeps what others wrote; logout takes only its own", () =>
  withConfig(
    { auths: { other: { auth: base64("a:b") } }, HttpHeaders: { x: 1 } },
    async (credentials, folder) => {
      await credentials.store("r.example", "me", SECRET)
      const file = join(folder, "config.json")
      expect((await stat(file)).mode & 0o777).toBe(0o600)
      expect(JSON.parse(await readFile(file, "utf8"))).toEqual({
        auths: { other: { auth: base64("a:b") }, "r.example": { auth: base64(`me:${SECRET}`) } },
        HttpHeaders: { x: 1 },
      })
      expect(await credentials.get("r.example")).toEqual({ username: "me", password: SECRET })
      expect(await credentials.erase("r.example")).toBe(true)
      expect(await credentials.erase("r.example")).toBe(false)
      expect(JSON.parse(await readFile(file, "utf8")).auths).toEqual({ other: { auth: base64("a:b") } })
      expect(await readdir(folder)).toEqual(["config.json"])
    },
  ))

const KEEPER = `case $1 in
  get) read -r host; [ -f "$folder/kept" ] || { echo "credentials not found in native keychain"; exit 1; }; cat "$folder/kept" ;;
  store) cat > "$folder/kept" ;;
  erase) rm -f "$folder/kept" ;;
esac`

test("login writes through a link, which stays: the file may be in a folder under version control", () =>
  withConfig(undefined, async (credentials, folder) => {
    await mkdir(join(folder, "dotfiles"))
    await writeFile(join(folder, "dotfiles/docker.json"), '{"HttpHeaders":{"X":"y"}}')
    await symlink("dotfiles/docker.json", join(folder, "config.json"))
    await credentials.store("reg.example", "me", SECRET)
    expect(await readlink(join(folder, "config.json"))).toBe("dotfiles/docker.json")
    const kept = JSON.parse(await readFile(join(folder, "dotfiles/docker.json"), "utf8"))
    expect(kept).toEqual({ HttpHeaders: { X: "y" }, auths: { "reg.example": expect.anything() } })
    expect(await credentials.get("reg.example")).toEqual({ username: "me", password: SECRET })
    expect(await readdir(join(folder, "dotfiles"))).toEqual(["docker.json"])
  }))

test("a helper keeps, gives and forgets; the file gets no secret", () =>
  withHelper("keeper", KEEPER, { credsStore: "keeper" }, async (credentials, folder) => {
    expect(await credentials.get("r.example")).toBeUndefined()
    await credentials.store("r.example", "me", SECRET)
    expect(await credentials.get("r.example")).toEqual({ username: "me", password: SECRET })
    expect(await readFile(join(folder, "config.json"), "utf8")).toBe('{"credsStore":"keeper"}')
    await credentials.erase("r.example")
    expect(await credentials.get("r.example")).toBeUndefined()
  }))

test("a helper's token, and a helper for one host only", () =>
  withHelper(
    "tokens",
    `echo '{"ServerURL":"x","Username":"<token>","Secret":"${SECRET}"}'`,
    { credHelpers: { "r.example": "tokens" } },
    async (credentials) => {
      expect(await credentials.get("r.example")).toEqual({ identityToken: SECRET })
      expect(await credentials.get("other.example")).toBeUndefined()
    },
  ))

test.each([
  ["status 3", `echo ${SECRET}; exit 3`],
  ["no user name", `echo '{"Secret":"${SECRET}"}'`],
  ["no user name", `echo '${SECRET}'`],
  ["more than 65536 bytes", "exec yes"],
])("a helper that misbehaves is named: %s", (reason, script) =>
  withHelper("bad", script, { credsStore: "bad" }, async (credentials) => {
    const error = await failure(credentials.get("r.example"), "OVM_CREDENTIALS_UNAVAILABLE")
    expect(error.message).toContain('"bad"')
    expect(error.message).toContain(reason)
    expect(JSON.stringify([error.message, error.detail, String(error.cause)])).not.toContain("s3cr3t")
  }),
)

test("a helper that hangs is given up", () =>
  withHelper("slow", "exec sleep 60", { credsStore: "slow" }, async (_, folder) => {
    const impatient = new DockerCredentials({ path: join(folder, "config.json"), helperMs: 100 })
    const error = await failure(impatient.get("r.example"), "OVM_CREDENTIALS_UNAVAILABLE")
    expect(error.message).toContain("within 100 ms")
  }))
