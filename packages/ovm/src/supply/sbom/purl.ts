import type { Package } from "./disk/packages.ts"
import type { Installed } from "./disk/scan.ts"

/** The distribution's own namespace where it says who it is, and its kind's first user where it does not. */
export function purlParts({ manager, name, version, architecture, source }: Package, { system }: Installed) {
  const namespace = system?.id ?? { deb: "debian", apk: "alpine" }[manager]
  const distro = system && (system.version ? `${system.id}-${system.version}` : system.id)
  const qualifiers = {
    ...(architecture !== undefined && { arch: architecture }),
    ...(distro !== undefined && { distro }),
    ...(source !== undefined && { upstream: source }),
  }
  return { type: manager, namespace, name, version, qualifiers }
}
