import { mkdir, writeFile } from "node:fs/promises"
import { request as httpRequest, type IncomingMessage } from "node:http"
import { join } from "node:path"
import { writeLayout } from "../artifact/layout.ts"
import { artifactOf, store } from "../artifact/make.ts"
import { snapshotOf } from "../artifact/snapshot.ts"
import { type Check, must } from "../check.ts"
import { type Fault, json } from "../registry/serve.ts"
import { Registry } from "../registry/server.ts"
import type { Answer, Wrapper } from "../subject/wrapper.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

const SECRET = "the-secret-of-the-suite"

const basic = (user: string) => Buffer.from(`${user}:${SECRET}`).toString("base64")

/** Has the client know these users, by the keys of `auths`, and do it. */
async function knowing(
  scene: Scene,
  users: Readonly<Record<string, string>>,
  [verb, ...args]: readonly ["pull" | "push", string, string],
): Promise<Answer> {
  const folder = join(scene.folder, "docker")
  await mkdir(folder, { recursive: true })
  const auths = Object.entries(users).map(([key, user]) => [key, { auth: basic(user) }])
  await writeFile(join(folder, "config.json"), JSON.stringify({ auths: Object.fromEntries(auths) }))
  const { wrapper, ...call } = scene
  return await wrapper.call(verb, args, { ...call, env: { DOCKER_CONFIG: folder } })
}

let layouts = 0
const newLayout = ({ folder }: Scene) => join(folder, `pulled${layouts++}`)

/** Who asked, by the credentials that came with it. */
function userOf({ headers }: IncomingMessage): string | undefined {
  const [, text = ""] = /^Basic (.+)$/.exec(headers.authorization ?? "") ?? []
  return headers.authorization && Buffer.from(text, "base64").toString().replace(`:${SECRET}`, "")
}

/** What everybody says who they are who asks there. */
function hearing({ manners }: Registry): ReadonlySet<string> {
  const heard = new Set<string>()
  manners.fault = (request) => {
    heard.add(request.headers.authorization ?? "")
    return false
  }
  return heard
}

/** Wants everybody to say who they are, and writes down whom it heard of. */
function asking(users: Set<string>): Fault {
  return (request, response) => {
    const user = userOf(request)
    if (user !== undefined) users.add(user)
    if (user !== undefined) return false
    response.writeHead(401, { "www-authenticate": 'Basic realm="suite"', "content-length": 0 }).end()
    return true
  }
}

/** Pulls from the repository, and fails unless that user alone is heard of. */
async function pullsAs(
  scene: Scene,
  repository: string,
  who: readonly [user: string, Readonly<Record<string, string>>],
) {
  const [user, users] = who
  const heard = new Set<string>()
  scene.registry.manners.fault = asking(heard)
  const reference = `${scene.registry.host}/${repository}:1`
  const { code } = await knowing(scene, users, ["pull", reference, newLayout(scene)])
  must(code === undefined, `the pull of ${repository} ended with ${code}`)
  must(
    [...heard].join() === user,
    `for ${repository} it sent the credentials of ${[...heard]}, and not of ${user}`,
  )
}

function plan(name: string, covers: readonly string[], run: Plan["run"]): Plan {
  return { name: `credentials/${name}`, covers, run }
}

const PLANS: readonly Plan[] = [
  plan("of-a-part-of-a-host", ["OVMS-REF-020", "OVMS-CNF-035"], async (scene) => {
    const { host, repository } = scene.registry
    store(repository, artifactOf(), "1")
    const users = {
      [host]: "all",
      [`${host}/team`]: "team",
      [`${host}/team/deep`]: "deep",
      [`${host}/tea`]: "tea",
    }
    const wanted = { "team/deep/m": "deep", "team/m": "team", teamwork: "all", "other/team": "all" }
    for (const [path, user] of Object.entries(wanted)) await pullsAs(scene, path, [user, users])
  }),
  plan("forms-of-a-key", ["OVMS-REF-021"], async (scene) => {
    const { host, repository } = scene.registry
    store(repository, artifactOf(), "1")
    for (const key of [`https://${host}/v1/`, `http://${host}/v2/`, `${host}/`, `https://${host}`])
      await pullsAs(scene, "any/machine", ["known", { [key]: "known" }])
  }),
  plan("not-to-another-host", ["OVMS-REF-022", "OVMS-REF-020"], async (scene) => {
    const { registry } = scene
    await using elsewhere = await Registry.start()
    for (const { repository } of [registry, elsewhere]) store(repository, artifactOf(), "1")
    const [asked, heard] = [asking(new Set()), hearing(elsewhere)]
    registry.manners.fault = (request, response, path) => {
      if (asked(request, response, path)) return true
      if (!path.includes("/blobs/sha256:")) return false
      response.writeHead(307, { location: `http://${elsewhere.host}${path}`, "content-length": 0 }).end()
      return true
    }
    const call = ["pull", registry.reference("1"), newLayout(scene)] as const
    const { code } = await knowing(scene, { [registry.host]: "known", [elsewhere.host]: "other" }, call)
    must(code === undefined, `the pull ended with ${code}`)
    must(heard.size > 0, "it did not follow to where the blobs are")
    must([...heard].join("") === "", "it sent credentials to where a registry led it")
  }),
  plan("token-not-to-another-host", ["OVMS-REF-022"], async (scene) => {
    const { registry } = scene
    await using elsewhere = await Registry.start()
    for (const { repository } of [registry, elsewhere]) store(repository, artifactOf(), "1")
    const heard = hearing(elsewhere)
    const tokens = strangersOnly(registry.host, new Set())
    registry.manners.fault = (request, response, path) => {
      if (tokens(request, response, path)) return true
      if (!path.includes("/blobs/sha256:")) return false
      response.writeHead(307, { location: `http://${elsewhere.host}${path}`, "content-length": 0 }).end()
      return true
    }
    const call = ["pull", registry.reference("1"), newLayout(scene)] as const
    const { code } = await knowing(scene, {}, call)
    must(code === undefined, `the pull ended with ${code}`)
    must(heard.size > 0, "it did not follow to where the blobs are")
    must([...heard].join("") === "", "it sent its token to where a registry led it")
  }),
  plan("push-not-to-another-host", ["OVMS-REF-022"], async (scene) => {
    const { registry, folder } = scene
    await using elsewhere = await Registry.start()
    const heard = hearing(elsewhere)
    registry.manners.subjectHeader = false
    const asked = asking(new Set())
    // Where an upload goes on, and where a list does, is another host's.
    registry.manners.fault = (request, response, path) => {
      if (asked(request, response, path)) return true
      const begins = request.method === "POST" && path.endsWith("/blobs/uploads/")
      if (!begins && !path.includes("/referrers/")) return false
      if (begins)
        request.pipe(
          httpRequest(`http://${elsewhere.host}${path}`, { method: "POST" }, (told) => {
            told.resume()
            const location = `http://${elsewhere.host}${told.headers.location}`
            response.writeHead(202, { location, range: "0-0", "content-length": 0 }).end()
          }),
        )
      else
        json(
          response,
          200,
          { schemaVersion: 2, manifests: [] },
          { link: `<http://${elsewhere.host}${path}>; rel="next"` },
        )
      return true
    }
    const { repository } = registry
    // What was sent there is here.
    Object.assign(repository, { blobs: elsewhere.repository.blobs })
    const layout = await writeLayout(join(folder, "layout"), snapshotOf(artifactOf()), "1")
    const users = { [registry.host]: "known", [elsewhere.host]: "other" }
    const { code, stderr } = await knowing(scene, users, ["push", layout, registry.reference("1")])
    must(code === undefined, `the push ended with ${code}: ${stderr.trim().slice(0, 300)}`)
    must(elsewhere.asked(/PUT|PATCH/, "/blobs/").length > 0, "it did not upload to where it was led")
    must([...heard].join("") === "", "it sent credentials to where a registry led it")
  }),
  plan("refused-for-reading", ["OVMS-REF-023"], async (scene) => {
    const { registry } = scene
    const { digest } = store(registry.repository, artifactOf(), "1")
    const heard = new Set<string | undefined>()
    registry.manners.fault = strangersOnly(registry.host, heard)
    const { code, stderr } = await knowing(scene, { [registry.host]: "old" }, [
      "pull",
      registry.reference(digest),
      newLayout(scene),
    ])
    must(code === undefined, `the pull ended with ${code}: it can be read without credentials`)
    must(heard.has("old"), "it did not send the credentials that it has")
    must(stderr.trim() !== "", "it did not tell that the credentials were refused")
  }),
  plan("refused-for-writing", ["OVMS-REF-023"], async (scene) => {
    const { registry, folder } = scene
    registry.manners.fault = strangersOnly(registry.host, new Set())
    const layout = await writeLayout(join(folder, "layout"), artifactOf(), "1")
    const { code } = await knowing(scene, { [registry.host]: "old" }, [
      "push",
      layout,
      registry.reference("1"),
    ])
    must(code !== undefined, "it pushed with credentials that were refused")
    must(
      registry.repository.blobs.size === 0,
      "it wrote without credentials, since those that it has were refused",
    )
  }),
  plan("told-to-nobody", ["OVMS-REF-024", "OVMS-SEC-022"], async (scene) => {
    const { registry } = scene
    store(registry.repository, artifactOf(), "1")
    registry.manners.fault = (request, response) => {
      // It says everything that it was told.
      const said = JSON.stringify({
        errors: [{ code: "DENIED", message: `${request.headers.authorization}` }],
      })
      const headers = { "www-authenticate": 'Basic realm="suite"', "content-length": said.length }
      response.writeHead(401, headers).end(said)
      return true
    }
    const answer = await knowing(scene, { [registry.host]: "known" }, [
      "pull",
      registry.reference("1"),
      newLayout(scene),
    ])
    must(answer.code !== undefined, "the pull ended well, and nothing was answered to it")
    const words = answer.stdout + answer.stderr
    for (const secret of [SECRET, basic("known")])
      must(!words.includes(secret), "what it printed has a credential in it")
  }),
]

/** Who speaks for nobody may read and write: its token server refuses all who say who they are. */
function strangersOnly(host: string, heard: Set<string | undefined>): Fault {
  return (request, response, path) => {
    const user = userOf(request)
    if (path === "/token") {
      heard.add(user)
      response.writeHead(user === undefined ? 200 : 401, { "content-type": "application/json" })
      response.end(user === undefined ? '{"token":"anyone"}' : "{}")
      return true
    }
    if (request.headers.authorization === "Bearer anyone") return false
    const challenge = `Bearer realm="http://${host}/token",service="suite",scope="repository:suite/machine:pull,push"`
    response.writeHead(401, { "www-authenticate": challenge, "content-length": 0 }).end()
    return true
  }
}

export const credentialChecks: readonly Check<Wrapper>[] = PLANS.map(withRegistry)
