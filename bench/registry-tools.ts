import { existsSync } from "node:fs"
import { join } from "node:path"
import { OVM, peer } from "./programs.ts"

/** How one program moves an artifact between a registry and a place of its own on this host. */
export interface Tool {
  readonly name: string
  /** Copies `reference` into `folder`, which is empty. */
  pull(reference: string, folder: string): readonly string[]
  /** What has to be said before a push, untimed. */
  prepare?(folder: string, from: string, reference: string): readonly string[]
  /** Copies what `pull` put into `folder` under the name `from` to `reference`. */
  push(folder: string, from: string, reference: string): readonly string[]
  /** Environment of all its commands. */
  environment(folder: string): NodeJS.ProcessEnv
}

const plain = (reference: string) => `reg=${reference.split("/")[0]},tls=disabled`

const ovm: Tool = {
  name: "ovm",
  pull: (reference) => [OVM, "pull", reference],
  prepare: (_, from, reference) => [OVM, "tag", from, reference],
  push: (_folder, _from, reference) => [OVM, "push", reference],
  environment: (folder) => ({ OVM_HOME: folder }),
}

const peers: readonly Tool[] = [
  {
    name: "oras",
    pull: (from, to) => [peer("oras"), "copy", "--from-plain-http", from, "--to-oci-layout", `${to}:v1`],
    push: (from, _, to) => [peer("oras"), "copy", "--from-oci-layout", `${from}:v1`, "--to-plain-http", to],
    environment: () => ({}),
  },
  {
    name: "crane",
    pull: (from, to) => [peer("crane"), "pull", "--format=oci", "--insecure", from, to],
    push: (from, _, to) => [peer("crane"), "push", "--insecure", from, to],
    environment: () => ({}),
  },
  {
    name: "regctl",
    pull: (from, to) => [peer("regctl"), "--host", plain(from), "image", "copy", from, `ocidir://${to}:v1`],
    push: (from, _, to) => [peer("regctl"), "--host", plain(to), "image", "copy", `ocidir://${from}:v1`, to],
    environment: (folder) => ({ REGCTL_CONFIG: join(folder, "..", "regctl.json") }),
  },
  {
    name: "skopeo",
    pull: (from, to) => ["skopeo", "copy", "--src-tls-verify=false", `docker://${from}`, `oci:${to}:v1`],
    push: (from, _, to) => ["skopeo", "copy", "--dest-tls-verify=false", `oci:${from}:v1`, `docker://${to}`],
    environment: () => ({}),
  },
]

/** ovm, and the peers that are on this machine. */
export function tools(): Tool[] {
  return [ovm, ...peers.filter(({ name }) => existsSync(peer(name)) || Bun.which(name) !== null)]
}
