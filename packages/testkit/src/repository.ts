import { OvmError } from "../../ovm/src/errors.ts"
import { HttpStore } from "../../ovm/src/registry/http-store.ts"
import type { Reference } from "../../ovm/src/registry/reference.ts"
import { Transport, type TransportOptions } from "../../ovm/src/registry/transport/transport.ts"

/** The repository that `reference` names, for whoever has no settings and, unless told, no credentials. */
export function openRepository(reference: Reference, options: TransportOptions = {}): HttpStore {
  if (reference.host !== undefined)
    return new HttpStore(new Transport(reference.host, options), reference.repository)
  throw new OvmError("OVM_REFERENCE_INVALID", `${reference} has no registry host`, {
    hint: `write HOST/${reference}`,
  })
}
