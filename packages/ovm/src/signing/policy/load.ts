import { dirname, resolve } from "node:path"
import { type Fault, faultsError } from "../../artifact/faults.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import type { Authority } from "../interfaces.ts"
import { parsePublicKey } from "../keys/public.ts"
import type { IdentityDocument, KeyDocument, RequirementDocument, SignersDocument } from "./document.ts"
import { policyFault } from "./fault.ts"
import { fileIdentity, readBounded } from "./file.ts"
import { POLICY_LIMIT, validatePolicy } from "./parse.ts"
import { placesOf } from "./places.ts"
import type { Rule, Rules, Scope } from "./rules.ts"

/** Bytes. */
const KEY_LIMIT = 16 << 10
const ROOT_LIMIT = 4 << 20

/** The bytes of a file, `limit` of them at most; or, as the end of a sentence, why they cannot be had. */
export type PolicyFiles = (path: string, limit: number) => Uint8Array | string

/**
 * Reads the policy at `path` and the keys and trusted roots that it names. What each file was before it was read is put
 * into `seen`, by absolute path, also where it throws: OVM_POLICY_INVALID naming the file, with all faults as `detail`.
 */
export function loadPolicy(path: string, seen: Map<string, string>): Promise<Rules> {
  return readPolicy(path, (file, limit) => {
    seen.set(file, fileIdentity(file))
    return readBounded(file, limit)
  })
}

/** The same, of files that `read` gives. Throws OVM_POLICY_INVALID. */
export async function readPolicy(path: string, read: PolicyFiles): Promise<Rules> {
  const bytes = read(path, POLICY_LIMIT)
  if (typeof bytes === "string")
    throw new OvmError("OVM_POLICY_INVALID", `${path}: it ${bytes}`, { detail: { file: path } })
  const { document, faults } = validatePolicy(bytes)
  if (!document) throw faultsError(path, faults)
  // What reads trusted roots is large, and most policies name none.
  const named = JSON.stringify(document).includes(`"trustedRoot":`)
  const roots = named ? await import("../trusted-root.ts") : undefined
  const rootRefusal = (text: string) => refusedWith(() => roots?.trustMaterial(text, "it"))
  const files = new Files(dirname(path), read, rootRefusal)
  const scopes = placesOf(document).map(({ name, pointer, scope }): Scope => {
    const { requirements, snapshots } = scope
    return {
      name,
      pointer,
      rules: rulesOf(files, `${pointer}/requirements`, requirements),
      ...(snapshots !== undefined && {
        snapshots:
          typeof snapshots === "string" ? snapshots : rulesOf(files, `${pointer}/snapshots`, snapshots),
      }),
    }
  })
  if (files.faults.length > 0) throw faultsError(path, files.faults)
  const [fallback, ...others] = scopes as [Scope, ...Scope[]]
  const local = document.local && others.shift()
  return {
    fallback,
    ...(local && { local }),
    scopes: new Map(others.map((scope) => [scope.name, scope])),
  }
}

/** The files that a policy names, each read once, and what is wrong with them. */
class Files {
  readonly faults: Fault[] = []
  readonly #texts = new Map<string, string>()

  constructor(
    private readonly folder: string,
    private readonly read: PolicyFiles,
    /** Why a text is no trusted root. */
    readonly rootRefusal: (text: string) => string | undefined,
  ) {}

  /** Its text; undefined, and a fault, if it cannot be read or `check` says what is wrong. */
  text(
    pointer: string,
    name: string,
    limit: number,
    check: (text: string) => string | undefined,
  ): string | undefined {
    const path = resolve(this.folder, name)
    const known = this.#texts.get(path)
    if (known !== undefined) return known
    const bytes = this.read(path, limit)
    const text = typeof bytes === "string" ? "" : Buffer.from(bytes).toString()
    const reason = typeof bytes === "string" ? bytes : check(text)
    if (reason === undefined) this.#texts.set(path, text)
    else this.fault(pointer, `${path}: it ${reason}`)
    return reason === undefined ? text : undefined
  }

  fault(pointer: string, message: string): void {
    this.faults.push(policyFault(pointer, "OVMS-POL-037", message))
  }
}

function rulesOf(files: Files, at: string, list: readonly RequirementDocument[]): Rule[] {
  return list.map((requirement, index): Rule => {
    const pointer = `${at}/${index}`
    if (requirement.type !== "signed" && requirement.type !== "attested") return { pointer, ...requirement }
    const { signedIdentity } = requirement
    const signers = {
      pointer,
      authorities: authoritiesOf(files, pointer, requirement),
      ...(signedIdentity && { signedIdentity }),
    }
    if (requirement.type === "signed") return { type: "signed", ...signers }
    const { predicateType, conditions = [] } = requirement
    return { type: "attested", ...signers, predicateType, conditions }
  })
}

function authoritiesOf(files: Files, at: string, signers: SignersDocument): Authority[] {
  const { keys = [], identities = [], log, timestamp } = signers
  const trustedRoot =
    signers.trustedRoot === undefined
      ? undefined
      : files.text(`${at}/trustedRoot`, signers.trustedRoot, ROOT_LIMIT, files.rootRefusal)
  return [
    ...keys.flatMap((key, index) => {
      const publicKey = keyOf(files, `${at}/keys/${index}`, key)
      if (publicKey === undefined) return []
      return {
        kind: "key" as const,
        name: key.path ?? `${at}/keys/${index}`,
        publicKey,
        ...(log === "required" && { log }),
        ...(timestamp === "required" && { timestamp }),
        ...(trustedRoot !== undefined && { trustedRoot }),
      }
    }),
    ...identities.map((identity, index) => ({
      kind: "keyless" as const,
      name: `${at}/identities/${index}`,
      trustedRoot: trustedRoot ?? "",
      ...wantedOf(identity),
      ...(log && { log }),
      ...(timestamp && { timestamp }),
    })),
  ]
}

function wantedOf({ identity, identityPattern = "", issuer, issuerPattern = "" }: IdentityDocument) {
  return {
    identity: identity === undefined ? { matches: identityPattern } : { is: identity },
    issuer: issuer === undefined ? { matches: issuerPattern } : { is: issuer },
  }
}

function keyOf(files: Files, pointer: string, { path, pem }: KeyDocument): string | undefined {
  if (path !== undefined) return files.text(`${pointer}/path`, path, KEY_LIMIT, keyRefusal)
  const reason = keyRefusal(pem ?? "")
  if (reason === undefined) return pem
  files.fault(`${pointer}/pem`, `it ${reason}`)
  return undefined
}

function keyRefusal(text: string): string | undefined {
  return refusedWith(() => parsePublicKey(text, "it"))
}

/** Why `parse` does not take a text that calls itself "it". */
function refusedWith(parse: () => unknown): string | undefined {
  try {
    parse()
    return undefined
  } catch (thrown) {
    return toOvmError(thrown).message.replace(/^it /, "")
  }
}
