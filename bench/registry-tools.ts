import { existsSync } from "node:fs"
import { join } from "node:path"
import { OVM, peer } from "./programs.ts"

/** What registries are spoken to over. */
export interface Wire {
  readonly name: string
  /** Of a registry's certificate and of the authority that it is by; paths. Without TLS there is none. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string }
}

/** How one program moves an artifact between a registry and a place of its own on this host. */
export interface Tool {
  readonly name: string
  /** Copies `reference` into `folder`, which is empty. */
  pull(reference: string, folder: string, wire: Wire): readonly string[]
  /** What has to be said before a push, untimed. */
  prepare?(folder: string, from: string, reference: string): readonly string[]
  /** Copies what `pull` put into `folder` under the name `from` to `reference`. */
  push(folder: string, from: string, reference: string, wire: Wire): readonly string[]
  /** Environment of all its commands. */
  environment(folder: string): NodeJS.ProcessEnv
}

const ovm: Tool = {
  name: "ovm",
  pull: (reference) => [OVM, "pull", reference],
  prepare: (_, from, reference) => [OVM, "tag", from, reference],
  push: (_folder, _from, reference) => [OVM, "push", reference],
  environment: (folder) => ({ OVM_HOME: folder }),
}

/** The arguments that a program needs where there is no TLS. */
const plain = ({ tls }: Wire, ...args: readonly string[]) => (tls ? [] : args)
const disabled = (reference: string) => `reg=${reference.split("/")[0]},tls=disabled`

const peers: readonly Tool[] = [
  {
    name: "oras",
    pull: (from, to, wire) => [
      ...[peer("oras"), "copy", ...plain(wire, "--from-plain-http")],
      ...[from, "--to-oci-layout", `${to}:v1`],
    ],
    push: (from, _, to, wire) => [
      ...[peer("oras"), "copy", ...plain(wire, "--to-plain-http")],
      ...["--from-oci-layout", `${from}:v1`, to],
    ],
    environment: () => ({}),
  },
  {
    name: "crane",
    pull: (from, to, wire) => [peer("crane"), "pull", "--format=oci", ...plain(wire, "--insecure"), from, to],
    push: (from, _, to, wire) => [peer("crane"), "push", ...plain(wire, "--insecure"), from, to],
    environment: () => ({}),
  },
  {
    name: "regctl",
    pull: (from, to, wire) => [
      ...[peer("regctl"), ...plain(wire, "--host", disabled(from))],
      ...["image", "copy", from, `ocidir://${to}:v1`],
    ],
    push: (from, _, to, wire) => [
      ...[peer("regctl"), ...plain(wire, "--host", disabled(to))],
      ...["image", "copy", `ocidir://${from}:v1`, to],
    ],
    environment: (folder) => ({ REGCTL_CONFIG: join(folder, "..", "regctl.json") }),
  },
  {
    name: "skopeo",
    pull: (from, to, wire) => [
      ...["skopeo", "copy", ...plain(wire, "--src-tls-verify=false")],
      ...[`docker://${from}`, `oci:${to}:v1`],
    ],
    push: (from, _, to, wire) => [
      ...["skopeo", "copy", ...plain(wire, "--dest-tls-verify=false")],
      ...[`oci:${from}:v1`, `docker://${to}`],
    ],
    environment: () => ({}),
  },
]

/** ovm, and the peers that are on this machine. */
export function tools(): Tool[] {
  return [ovm, ...peers.filter(({ name }) => existsSync(peer(name)) || Bun.which(name) !== null)]
}
