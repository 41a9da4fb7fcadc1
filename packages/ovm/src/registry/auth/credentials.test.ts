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
import { failure } from "../../content/store.testing.ts"
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
    const credential = await credentials.get("r.example:5000")
    if (expected) expect(credential).toMatchObject({ ...expected, scope: "r.example:5000" })
    else expect(credential).toBeUndefined()
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
    expect(await credentials.get("r.example")).toMatchObject({ username: "me", password: "x" }),
  )
  await withConfig({ auths: { "https://index.docker.io/v1/": { auth } } }, async (credentials) =>
    expect(await credentials.get("docker.io")).toMatchObject({ username: "me", password: "x" }),
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
      expect(await credentials.get("r.example")).toMatchObject({ username: "me", password: SECRET })
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
    expect(await credentials.get("reg.example")).toMatchObject({ username: "me", password: SECRET })
    expect(await readdir(join(folder, "dotfiles"))).toEqual(["docker.json"])
  }))

test("a helper keeps, gives and forgets; the file gets no secret", () =>
  withHelper("keeper", KEEPER, { credsStore: "keeper" }, async (credentials, folder) => {
    expect(await credentials.get("r.example")).toBeUndefined()
    await credentials.store("r.example", "me", SECRET)
    expect(await credentials.get("r.example")).toMatchObject({ username: "me", password: SECRET })
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
      expect(await credentials.get("r.example")).toMatchObject({ identityToken: SECRET })
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
    const impatient = new DockerCredentials({ path: join(folder, "config.json") }, { helperMs: 100 })
    const error = await failure(impatient.get("r.example"), "OVM_CREDENTIALS_UNAVAILABLE")
    expect(error.message).toContain("within 100 ms")
  }))

const entry = (user: string) => ({ auth: base64(`${user}:${SECRET}`) })

// OVMS-REF-020
test("the longest path that contains a repository decides, and the host's entry for all else", () =>
  withConfig(
    {
      auths: {
        "h:5000": entry("host"),
        "H:5000/team/": entry("team"),
        "https://h:5000/team/deep": entry("deep"),
        "h:5000/empty": {},
        "g/team-b": entry("b"),
      },
    },
    async (credentials) => {
      const user = async (name: string) => {
        const found = await credentials.get(name)
        return found && "username" in found ? found.username : found
      }
      expect(await user("h:5000")).toBe("host")
      expect(await user("h:5000/team")).toBe("team")
      expect(await user("h:5000/team/x")).toBe("team")
      expect(await user("h:5000/team/deep/x")).toBe("deep")
      expect(await user("h:5000/team/deeper")).toBe("team")
      expect(await user("h:5000/team-b")).toBe("host")
      expect(await user("h:5000/empty/x")).toBe("host")
      for (const name of ["g", "g/team-a", "g/team-bb", "g/team", "h/team", "team-b"])
        expect(await user(name)).toBeUndefined()
      expect(await credentials.get("g/team-b/x")).toMatchObject({ username: "b", scope: "g/team-b" })
    },
  ))

test("a path's entry is more exact than the helper of the host, which is asked by host", () =>
  withHelper(
    "asked",
    `read -r host; echo "{\\"Username\\":\\"helper of $host\\",\\"Secret\\":\\"x\\"}"`,
    { credsStore: "asked", auths: { "h/team": entry("team"), h: entry("host") } },
    async (credentials) => {
      expect(await credentials.get("h/team/x")).toMatchObject({ username: "team" })
      expect(await credentials.get("h/other")).toMatchObject({ username: "helper of h", scope: "h" })
      const error = await failure(credentials.store("h/team", "me", SECRET), "OVM_CREDENTIALS_UNAVAILABLE")
      expect(error.message).toContain("keeps credentials of hosts, not of h/team")
    },
  ))

test("login and logout of a path leave the host's entry alone, and the other way round", () =>
  withConfig({ auths: { h: entry("host"), "h/a": entry("a") } }, async (credentials) => {
    await credentials.store("h/b", "b", SECRET)
    await credentials.store("h", "new", SECRET)
    expect(await credentials.get("h/a/x")).toMatchObject({ username: "a" })
    expect(await credentials.get("h/b/x")).toMatchObject({ username: "b" })
    expect(await credentials.get("h/c")).toMatchObject({ username: "new" })
    expect(await credentials.erase("h")).toBe(true)
    expect(await credentials.get("h/c")).toBeUndefined()
    expect(await credentials.scopesOf("h")).toEqual(["h/a", "h/b"])
    expect(await credentials.erase("h/a")).toBe(true)
    expect(await credentials.get("h/a/x")).toBeUndefined()
    expect(await credentials.get("h/b/x")).toMatchObject({ username: "b" })
  }))

test.each([
  ["", undefined],
  [" \n\t", undefined],
  ["\uFEFF{}", undefined],
  ['{"auths":null,"credHelpers":null,"credsStore":null}', undefined],
  ['{"auths":[]}', "auths is not an object"],
  ['{"auths":"x"}', "auths is not an object"],
  ['{"credHelpers":[]}', "credHelpers is not an object"],
  ['{"credHelpers":{"h":1}}', 'credHelpers["h"] is not a text'],
  ['{"credsStore":{}}', "credsStore is not a text"],
  ['{"auths":{"h":"s3cr3t"}}', 'auths["h"] is not an object'],
  ['{"auths":{"h":{"auth":5}}}', 'auths["h"].auth is not a text'],
  ['{"auths":{"h":{"identitytoken":["s3cr3t"]}}}', 'auths["h"].identitytoken is not a text'],
  ['{"auths":{"h":{"username":{}}}}', 'auths["h"].username is not a text'],
])("a file with %j", (text, reason) =>
  withConfig(text, async (credentials, folder) => {
    if (reason === undefined) {
      expect(await credentials.get("h/a")).toBeUndefined()
      await credentials.store("h", "me", SECRET)
      return expect(await credentials.get("h/a")).toMatchObject({ username: "me" })
    }
    const error = await failure(credentials.get("h/a"), "OVM_CREDENTIALS_UNAVAILABLE")
    expect(error.message).toBe(`${join(folder, "config.json")}: ${reason}`)
    expect(JSON.stringify([error, String(error.cause)])).not.toContain("s3cr3t")
    const before = await readFile(join(folder, "config.json"), "utf8")
    if (/^(auths|credHelpers|credsStore) /.test(reason)) {
      await failure(credentials.store("h", "me", SECRET), "OVM_CREDENTIALS_UNAVAILABLE")
      expect(await readFile(join(folder, "config.json"), "utf8")).toBe(before)
    }
  }),
)

test("what is no file is not waited for", () =>
  withConfig(undefined, async (credentials, folder) => {
    expect(Bun.spawnSync(["mkfifo", join(folder, "config.json")]).exitCode).toBe(0)
    const error = await failure(credentials.get("h"), "OVM_CREDENTIALS_UNAVAILABLE")
    expect(error.message).toContain("config.json is a named pipe")
  }))

test("logins at one time all stay, with indentation, members and mode of the file as they were", () =>
  withConfig('{\n  "HttpHeaders": { "X": "y" },\n  "auths": {}\n}', async (credentials, folder) => {
    const file = join(folder, "config.json")
    await chmod(file, 0o640)
    const hosts = Array.from({ length: 12 }, (_, at) => `h${at}`)
    const all = hosts.map((host) => new DockerCredentials({ path: file }).store(host, "me", SECRET))
    await Promise.all(all)
    const text = await readFile(file, "utf8")
    expect(Object.keys(JSON.parse(text).auths).sort()).toEqual(hosts.sort())
    expect(text).toStartWith('{\n  "HttpHeaders": {\n    "X": "y"\n  },\n')
    expect((await stat(file)).mode & 0o777).toBe(0o640)
    expect(await readdir(folder)).toEqual(["config.json"])
    expect(await credentials.get("h3/x")).toMatchObject({ username: "me", password: SECRET })
  }))

test("login makes what a link points to, and leaves a link that leads nowhere as it is", () =>
  withConfig(undefined, async (credentials, folder) => {
    const file = join(folder, "config.json")
    await mkdir(join(folder, "dotfiles"))
    await symlink("hop.json", file)
    await symlink("dotfiles/docker.json", join(folder, "hop.json"))
    await credentials.store("h", "me", SECRET)
    expect(await readlink(file)).toBe("hop.json")
    expect(await readlink(join(folder, "hop.json"))).toBe("dotfiles/docker.json")
    expect((await stat(join(folder, "dotfiles/docker.json"))).mode & 0o777).toBe(0o600)
    await rm(join(folder, "dotfiles"), { recursive: true })
    const error = await failure(credentials.store("h", "me", SECRET), "OVM_CREDENTIALS_UNAVAILABLE")
    expect(error.message).toContain(`${file} cannot be written: ENOENT`)
    expect(await readlink(file)).toBe("hop.json")
  }))

test("a home that is not there has no file", async () => {
  const missing = new DockerCredentials({ env: { HOME: "/nowhere/at/all" } })
  expect(await missing.get("h")).toBeUndefined()
  expect(await missing.erase("h")).toBe(false)
})
