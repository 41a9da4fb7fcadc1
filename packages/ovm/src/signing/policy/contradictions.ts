import { excerpt, type Fault } from "../../artifact/faults.ts"
import type {
  Condition,
  IdentityDocument,
  PolicyDocument,
  RequirementDocument,
  ScopeDocument,
  SignersDocument,
} from "./document.ts"
import { policyFault } from "./fault.ts"
import { placesOf } from "./places.ts"

/** What JSON Schema cannot say well of a policy that satisfies it: which members go together, and what a pattern is. */
export function contradictions(document: PolicyDocument): Fault[] {
  return placesOf(document).flatMap(({ pointer, scope }) => [
    ...inList(`${pointer}/requirements`, scope.requirements),
    ...inSnapshots(`${pointer}/snapshots`, scope),
  ])
}

function inSnapshots(at: string, { requirements, snapshots }: ScopeDocument): Fault[] {
  if (snapshots === undefined || snapshots === "reject") return []
  if (typeof snapshots !== "string") return inList(at, snapshots)
  if (requirements.some(({ type }) => type === "signed")) return []
  return [policyFault(at, "OVMS-POL-074", `snapshots is ${snapshots}, but no requirement says by whom`)]
}

function inList(at: string, list: readonly RequirementDocument[]): Fault[] {
  return list.flatMap((requirement, index) =>
    requirement.type === "signed" || requirement.type === "attested"
      ? inSigned(`${at}/${index}`, requirement)
      : [],
  )
}

function inSigned(at: string, requirement: Extract<RequirementDocument, SignersDocument>): Fault[] {
  const { keys = [], identities = [] } = requirement
  const count = keys.length + identities.length
  return [
    ...(count >= 1 && count <= 32
      ? []
      : [policyFault(at, "OVMS-POL-032", `there are ${count} keys and identities, not 1 to 32`)]),
    ...keys.flatMap((key, index) => one(`${at}/keys/${index}`, "OVMS-POL-033", key, ["path", "pem"])),
    ...identities.flatMap((identity, index) => inIdentity(`${at}/identities/${index}`, identity)),
    ...inTrust(at, requirement),
    ...inSignedIdentity(`${at}/signedIdentity`, requirement.signedIdentity),
    ...("conditions" in requirement ? (requirement.conditions ?? []) : []).flatMap((condition, index) =>
      inCondition(`${at}/conditions/${index}`, condition),
    ),
  ]
}

function inTrust(at: string, { identities = [], log, timestamp, trustedRoot }: SignersDocument): Fault[] {
  if (trustedRoot !== undefined) return []
  if (identities.length === 0 && log !== "required" && timestamp !== "required") return []
  const reason = "trustedRoot is missing, without which no identity, log or timestamp can be verified"
  return [policyFault(`${at}/trustedRoot`, "OVMS-POL-035", reason)]
}

function inIdentity(at: string, identity: IdentityDocument): Fault[] {
  return [
    ...one(at, "OVMS-POL-034", identity, ["identity", "identityPattern"]),
    ...one(at, "OVMS-POL-034", identity, ["issuer", "issuerPattern"]),
    ...(["identityPattern", "issuerPattern"] as const).flatMap((field) => {
      const pattern = identity[field]
      if (pattern === undefined || isPattern(pattern)) return []
      const reason = `${excerpt(pattern)} is not a regular expression`
      return [policyFault(`${at}/${field}`, "OVMS-POL-034", reason)]
    }),
  ]
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text, "u")
    return true
  } catch {
    return false
  }
}

function inSignedIdentity(at: string, identity: SignersDocument["signedIdentity"]): Fault[] {
  if (!identity) return []
  const wanted = { exactRepository: "repository", exactReference: "reference" } as const
  return (["repository", "reference"] as const).flatMap((field) => {
    const belongs = wanted[identity.type as keyof typeof wanted] === field
    if (belongs === (identity[field] !== undefined)) return []
    const reason = belongs
      ? `${field} is missing, which ${identity.type} compares`
      : `${field} is there, which ${identity.type} does not compare`
    return [policyFault(`${at}/${field}`, "OVMS-POL-042", reason)]
  })
}

function inCondition(at: string, condition: Condition): Fault[] {
  return one(at, "OVMS-POL-052", condition, ["equals", "in", "exists"])
}

function one(at: string, requirement: string, object: object, members: readonly string[]): Fault[] {
  const there = members.filter((name) => Object.hasOwn(object, name))
  if (there.length === 1) return []
  const what = there.length === 0 ? "none" : `${there.length}`
  return [policyFault(at, requirement, `it has ${what} of ${members.join(", ")}, not exactly one`)]
}
