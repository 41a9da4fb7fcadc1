import { paths } from "../host/paths.ts"
import { DockerCredentials } from "../registry/auth/credentials.ts"
import { type ConnectOptions, connectRepository } from "../registry/connect.ts"
import type { HttpStore } from "../registry/http-store.ts"
import type { Reference } from "../registry/reference.ts"

export interface RegistryOptions {
  readonly plainHttp?: boolean
  /** Reads may come from the registry's mirrors. */
  readonly pulling?: boolean
}

/** How this user reaches registries: by the settings of this place, with what Docker and others share. */
export function registryAccess(): Required<Pick<ConnectOptions, "settings" | "credentials">> {
  return { settings: paths().registries, credentials: new DockerCredentials({ env: process.env }) }
}

/**
 * The repository of `reference` with this user's credentials and settings. Throws OVM_REFERENCE_INVALID if it has no
 * host, OVM_SETTINGS_INVALID.
 */
export function openRemote(reference: Reference, options: RegistryOptions): Promise<HttpStore> {
  return connectRepository(reference, {
    ...registryAccess(),
    ...(options.plainHttp && { plainHttp: true }),
    ...(options.pulling && { pulling: true }),
  })
}
