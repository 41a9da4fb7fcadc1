import { bytesText, type TreeEntry, tree } from "../../artifact/machine/inspect.ts"
import type { ArtifactNode, AttachedStatement, Rejected } from "./graph.ts"

/** The graph as a tree for people, one line an entry. `name` is what was asked for. */
export function discoverLines(node: ArtifactNode, name: string): string[] {
  return [`${name}  (${titleOf(node)})`, `digest  ${node.digest}`, ...tree(below(node))]
}

function below(node: ArtifactNode): TreeEntry[] {
  const { base, machines, signatures, sboms, attestations, snapshots, referrers, rejected } = node
  return [
    ...(machines ?? []).map((one) => ({
      text: `${one.platform}  ${one.digest}`,
      below: below(one),
    })),
    ...(base ? [{ text: `base  ${base.digest}`, below: below(base) }] : []),
    ...group("signatures", signatures, (one) => ({ text: statementText(one) })),
    ...group("SBOMs", sboms, (one) => ({ text: `${statementText(one)}  ${one.predicate_type}` })),
    ...group("attestations", attestations, (one) => ({
      text: `${statementText(one)}  ${one.predicate_type}`,
    })),
    ...group("snapshots", snapshots, artifact),
    ...group("referrers", referrers, artifact),
    ...group("rejected", rejected, rejectedEntry),
  ]
}

function group<T>(title: string, items: readonly T[], entry: (item: T) => TreeEntry): TreeEntry[] {
  return items.length > 0 ? [{ text: `${title}  ${items.length}`, below: items.map(entry) }] : []
}

function artifact(node: ArtifactNode): TreeEntry {
  const { digest, created, artifact_type, kind, unexplored } = node
  const about = kind === "snapshot" ? (created ?? "snapshot") : (artifact_type ?? node.media_type)
  return { text: `${digest}  ${about}${unexplored ? ", not looked behind" : ""}`, below: below(node) }
}

function titleOf({ kind, artifact_type, media_type, size }: ArtifactNode): string {
  return kind === "machine" || kind === "snapshot" || kind === "index"
    ? kind
    : `${artifact_type ?? media_type}, ${bytesText(size)}`
}

function rejectedEntry({ digest, reason }: Rejected): TreeEntry {
  return { text: `${digest}  ${reason}` }
}

/** Its state, whose it is as far as that is known, and why it is not valid. */
function statementText(one: AttachedStatement): string {
  const { status, key_id, identity, issuer, named_key, signed_for, signed_at, form, reason } = one
  const facts = [
    key_id && `key ${key_id}`,
    identity && `${identity} by ${issuer}`,
    named_key && `says key ${named_key}`,
    signed_for && `for ${signed_for}`,
    signed_at && `at ${signed_at}`,
    form === "legacy" ? "in the older form" : undefined,
    reason,
  ]
  return `${status}  ${facts.filter(Boolean).join(", ")}`
}
