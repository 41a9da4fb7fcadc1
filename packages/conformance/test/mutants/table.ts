/** A small wrong behaviour, and the check that has to catch it. */
export interface Mutant {
  /** What the implementation does wrong; by this name the mutant is made. */
  readonly fault: string
  readonly requirement: string
  readonly check: string
}

const of = (
  rows: readonly (readonly [fault: string, requirement: string, check: string])[],
): readonly Mutant[] =>
  rows.map(([fault, requirement, check]) => ({ fault, requirement: `OVMS-${requirement}`, check }))

/** ovm, but a fault of one requirement is not seen (wrapper.ts). */
export const FORGETFUL: readonly Mutant[] = of([
  ["forgets MAN-002", "MAN-002", "vector/invalid/manifest"],
  ["forgets MAN-012", "MAN-012", "vector/invalid/manifest"],
  ["forgets MAN-032", "MAN-032", "vector/invalid/manifest"],
  ["forgets MAN-053", "MAN-053", "vector/invalid/manifest"],
  ["forgets MAN-072", "MAN-072", "vector/invalid/manifest"],
  ["forgets SEC-010", "SEC-010", "vector/invalid/"],
  ["forgets SEC-011", "SEC-011", "vector/invalid/"],
  ["forgets SEC-012", "SEC-012", "vector/invalid/"],
  ["forgets LIM-002", "LIM-002", "vector/invalid/"],
  ["forgets OCI-013", "OCI-013", "vector/invalid/artifact"],
  ["forgets OCI-030", "OCI-030", "vector/invalid/artifact"],
  ["forgets OCI-032", "OCI-032", "vector/invalid/artifact"],
  ["forgets OCI-035", "OCI-035", "vector/invalid/artifact"],
  ["forgets OCI-040", "OCI-040", "vector/invalid/artifact"],
  ["forgets SNP-022", "SNP-022", "vector/invalid/snapshot"],
  ["forgets SNP-003", "SNP-003", "vector/invalid/snapshot"],
  ["forgets POL-042", "POL-042", "vector/invalid/policy"],
  ["forgets SRC-007", "SRC-007", "vector/invalid/source"],
])

/** A small puller, which is right but for one thing (puller.ts). */
export const PULLERS: readonly Mutant[] = of([
  ["believes blobs", "SEC-001", "pull/wrong-bytes"],
  ["believes short blobs", "SEC-001", "pull/too-short"],
  ["reads without a bound", "SEC-002", "pull/blob-without-end"],
  ["reads manifests without a bound", "LIM-001", "pull/manifest-without-end"],
  ["asks for the tag twice", "DST-010", "pull/tag-moves"],
  ["takes the tag over the digest", "REF-006", "pull/digest-decides"],
  ["takes embedded data as it is", "OCI-061", "pull/embedded-data"],
  ["fetches from urls", "OCI-060", "pull/urls"],
  ["takes any type", "OCI-012", "pull/other-type"],
  ["takes an index", "OCI-002", "pull/index"],
  ["knows no alias", "OCI-014", "pull/alias-types"],
  ["knows the config alone", "OCI-020", "pull/plain-form"],
  ["refuses unknown members", "OCI-007", "pull/unknown-members"],
  ["leaves the base of a snapshot", "SNP-153", "pull/snapshot-with-base"],
  ["calls an unknown tag missing content", "ERR-004", "pull/unknown-tag"],
  ["speaks without TLS", "DST-020", "pull/without-tls"],
])

/** ovm, but a refusal by this code is none (wrapper.ts). */
export const BELIEVERS: readonly Mutant[] = of([
  ["believes OVM_SIGNATURE_MISSING", "SIG-025", "verify/refuses-nothing"],
  ["believes OVM_SIGNATURE_KEY_UNKNOWN", "SIG-025", "verify/refuses-stranger"],
  ["believes OVM_SIGNATURE_INVALID", "SIG-024", "verify/refuses-other-bytes"],
  ["believes OVM_SIGNATURE_SUBJECT_MISMATCH", "SIG-021", "verify/refuses-other-subject"],
  ["believes OVM_PREDICATE_MISMATCH", "SIG-023", "verify/refuses-attestation"],
  ["believes OVM_SIGNATURE_MALFORMED", "SIG-030", "verify/refuses-two-signatures"],
  ["believes OVM_SIGNATURE_REFERENCE_MISMATCH", "SIG-029", "verify/refuses-other-repository"],
  ["believes OVM_REGISTRY_FAILED", "SIG-002", "verify/refuses-list-fails"],
  ["believes OVM_KEY_INVALID", "SIG-044", "verify/refuses-private-key-as-public"],
  ["believes OVM_FILE_UNREADABLE", "SEC-046", "pack/refuses-file-missing"],
  ["believes OVM_DIGEST_MISMATCH", "SNP-062", "inspect/ram-damaged"],
  ["believes OVM_CONTENT_MISSING", "ERR-005", "inspect/blob-missing"],
  ["believes OVM_KERNEL_INVALID", "SRC-010", "pack/refuses-kernel-nonsense"],
  ["believes OVM_DISK_INVALID", "SRC-011", "pack/refuses-disk-odd-size"],
  ["believes OVM_DISK_INVALID", "IMP-003", "import/refuses-qcow2-with-a-backing-file"],
  ["believes OVM_DISK_INVALID", "IMP-072", "import/ova/refuses-descriptors"],
  ["believes OVM_DIGEST_MISMATCH", "IMP-070", "import/ova/refuses-checksums-that-differ"],
  ["believes OVM_ARTIFACT_INVALID", "IMP-045", "import/container/refuses-climbing-name"],
  ["believes OVM_ARTIFACT_INVALID", "IMP-082", "import/archive-with-wrong-holes"],
  ["believes OVM_TOO_LARGE", "IMP-046", "import/container/too-many-layers"],
  ["believes OVM_UNSUPPORTED", "IMP-021", "export/refuses-what-has-no-place"],
  ["believes OVM_IMAGE_IN_USE", "SNP-154", "remove/base-of-snapshots"],
  ["believes OVM_GUEST_RESET", "STA-032", "run/ends-that-nobody-asked-for"],
  ["believes OVM_CERTIFICATE_INVALID", "SIG-026", "verify/identity/refuses-certificates"],
  ["believes OVM_TIMESTAMP_INVALID", "SIG-031", "verify/identity/refuses-timestamps"],
  ["believes OVM_CERTIFICATE_IDENTITY_MISMATCH", "SIG-027", "verify/identity/refuses-identities"],
])

/** ovm, but what it is given, or makes of that, is changed (importer.ts, others.ts). */
export const IMPORTERS: readonly Mutant[] = of([
  ["boots all by BIOS", "IMP-007", "import/what-boots-it"],
  ["makes other bytes each time", "IMP-006", "import/formats-by-their-bytes"],
  ["gives one CPU", "IMP-071", "import/ova/machine"],
  ["keeps nothing of KubeVirt", "IMP-066", "import/kubevirt-kept"],
  ["leaves out the agent", "IMP-054", "import/container/how-it-boots"],
  ["takes a stage for scratch", "BLD-057", "build/from-scratch"],
  ["offers no ports", "IMP-052", "import/container/ports"],
  ["forgets where it is from", "IMP-053", "import/container/where-it-is-from"],
  ["takes whiteouts for files", "IMP-042", "import/container/layers-in-order"],
  ["gives all to root", "IMP-043", "import/container/entries"],
  ["forgets attributes", "IMP-043", "import/container/entries"],
  ["unpacks on its own host", "IMP-047", "import/container/nothing-on-the-host"],
  ["exports the base alone", "IMP-020", "export/layers-together"],
  ["reads beyond the end", "DSK-048", "export/layer-larger-than-its-base"],
  ["holds no folder against its sums", "IMP-083", "import/ovf-in-a-folder"],
  ["writes over what is there", "IMP-023", "export/whole-or-as-it-was"],
  ["believes OVM_BUILD_INVALID", "BLD-010", "build/refuses-what-it-does-not-honour"],
  ["believes OVM_BUILD_INVALID", "BLD-041", "build/refuses-files-of-the-host-as-images"],
  ["believes OVM_POLICY_REFUSED", "BLD-058", "build/policy-of-container-images"],
  ["believes OVM_SIGNER_FAILED", "SIG-051", "sign/program-that-signs-otherwise"],
  ["expands nothing", "BLD-012", "build/variables"],
  ["starts anew", "BLD-032", "build/goes-on-from-what-it-says"],
  ["knows no credentials", "REF-020", "credentials/of-a-part-of-a-host"],
  ["says who it is", "REF-024", "credentials/told-to-nobody"],
  ["leaves keys to all", "SIG-042", "sign/key-of-its-user-alone"],
  ["says where it packed", "PRV-011", "provenance/tells-nothing-of-the-host"],
  ["forgets the context", "BLD-051", "provenance/of-a-build"],
  ["takes results for success", "STA-048", "run/results"],
  ["prunes machines of an index", "IDX-024", "index/kept-by-its-name"],
  ["prints what it is given", "SEC-021", "terminal/control-characters"],
  ["has memory for all RAM", "SNP-045", "inspect/ram-of-any-size"],
  ["calls no signature invalid", "SIG-028", "discover/signatures-against-themselves"],
  ["lists no snapshots that came along", "SNP-152", "keep/snapshot-that-came-along"],
  ["says no pointer", "CNF-034", "export/refuses-what-has-no-place"],
])

/** What looks like a builder (builder.ts). */
export const BUILDERS: readonly Mutant[] = of([
  ["copies what links lead to", "BLD-014", "build/in-a-machine"],
  ["ends well where a step fails", "BLD-016", "build/in-a-machine"],
  ["makes one layer of two", "BLD-017", "build/in-a-machine"],
  ["takes a step for one of other modes", "BLD-020", "build/in-a-machine"],
  ["unpacks by way of links", "BLD-045", "build/in-a-machine"],
  ["counts the folder whose content is copied", "BLD-052", "build/in-a-machine"],
  ["says no layer of what was kept", "BLD-053", "build/in-a-machine"],
  ["says its stages in another order", "BLD-053", "build/in-a-machine"],
])

/** ovm, but what it packed is changed afterwards (packer.ts). */
export const PACKERS: readonly Mutant[] = of([
  ["writes no artifactType", "OCI-050", "pack/written-form"],
  ["writes an alias", "OCI-015", "pack/written-form"],
  ["writes no titles", "OCI-053", "pack/titles"],
  ["writes one title twice", "OCI-053", "pack/titles"],
  ["writes no formats", "OCI-052", "pack/disk-layers"],
  ["writes layers in another order", "SRC-016", "pack/order"],
  ["writes with white space", "SRC-015", "pack/canonical"],
  ["writes the time", "SRC-013", "pack/without-a-time"],
  ["writes something else each time", "SRC-014", "pack/same-digest"],
])

/** ovm behind something that changes what it is asked, or answers (proxy.ts). */
export const RUNTIMES: readonly Mutant[] = of([
  ["leaves out a member", "API-060", "runtime/boots"],
  ["answers errors as text", "ERR-001", "runtime/unknown-path"],
  ["has a code of its own", "ERR-002", "runtime/unknown-path"],
  ["has a status of its own", "ERR-003", "runtime/unknown-path"],
  ["answers HTML", "API-010", "runtime/health"],
  ["sends no Allow", "API-161", "runtime/methods"],
  ["ignores unknown members", "API-011", "runtime/unknown-member-named"],
  ["ignores unknown parameters", "API-162", "runtime/query"],
  ["takes the beginning of an ID", "API-014", "runtime/part-of-an-id"],
  ["forgets the arguments", "GST-011", "runtime/boots"],
  ["gives other memory", "API-032", "runtime/processors-and-memory"],
  ["gives one processor", "GST-001", "runtime/processors-and-memory"],
  ["says paused and does nothing", "API-140", "runtime/pause"],
  ["deletes what runs", "API-081", "runtime/delete"],
  ["lists what is gone", "API-082", "runtime/delete"],
  ["forgets consoles", "API-073", "runtime/ends-by-power-off"],
  ["calls a panic a shutdown", "STA-030", "runtime/ends-by-panic"],
  ["loses results", "STA-047", "runtime/ends-by-result"],
  ["drops labels", "API-381", "runtime/labels"],
  ["names a snapshot by its tag", "API-053", "runtime/snapshot/goes-on"],
  ["boots in place of a snapshot", "SNP-090", "runtime/snapshot/goes-on"],
  ["gives clones one ID", "SNP-090", "runtime/snapshot/clones-differ"],
  ["resumes once more", "SNP-091", "runtime/snapshot/only-once"],
  ["ends streams early", "API-071", "runtime/logs-follow"],
  ["has no end of tails", "API-074", "runtime/logs-tail"],
  ["has a default of its own", "MAN-064", "runtime/resources"],
  ["says what phase it was", "API-061", "runtime/pulled-and-booted"],
  ["forgets warnings", "API-026", "runtime/device-that-need-not-be"],
  ["gives all machines one MAC address", "MAN-106", "runtime/network/interfaces"],
  ["opens what a manifest offers", "MAN-107", "runtime/network/offered-ports"],
  ["keeps ports that are given back", "API-267", "runtime/network/ports-of-the-made"],
  ["restarts nothing", "API-167", "runtime/restart"],
  ["starts again without an end", "STA-043", "runtime/again-once"],
  ["tells what it found", "SNP-098", "runtime/snapshot/secrets"],
  ["calls all children the first", "API-443", "runtime/snapshot/fork"],
  ["lists no slots", "API-091", "runtime/snapshot/warm"],
  ["forgets what took too long", "API-330", "runtime/agent/command-that-takes-too-long"],
  ["gives errors as output", "API-321", "runtime/agent/command"],
  ["asks no agent to end its machine", "API-336", "runtime/agent/stop-by-the-agent"],
  ["freezes nothing", "API-421", "runtime/agent/around-a-snapshot"],
  ["takes snapshots of what is not ready", "API-422", "runtime/agent/not-ready-for-a-snapshot"],
  ["calls all shares mounted", "SHR-020", "runtime/agent/shares"],
  ["calls a clone renewed at once", "SNP-171", "runtime/agent/after-a-resume"],
  ["names one difference", "SNP-074", "runtime/snapshot/of-another-host"],
  ["takes the tag of another thing", "API-059", "runtime/snapshot/tag-of-another-thing"],
  ["lets a snapshot pass over a stop", "API-145", "runtime/agent/stop-of-what-is-snapshotted"],
  ["snapshots a TPM", "UEF-034", "runtime/tpm"],
  ["grants any number of slots", "API-102", "runtime/snapshot/slots-without-room"],
  ["opens ports of what stops", "API-268", "runtime/network/ports-of-the-stopping"],
  ["says nothing of locked memory", "SNP-101", "runtime/snapshot/memory-that-is-locked"],
  ["says nothing of a port that is held", "API-274", "runtime/network/port-that-is-given-back"],
  ["misses what lies in two pages", "SNP-099", "runtime/snapshot/secrets-everywhere"],
  ["gives children no ports", "API-448", "runtime/snapshot/fork-with-ports"],
  ["says not whose agent answers", "API-510", "runtime/agent/whose-agent-it-is"],
  ["calls a whole machine degraded", "STA-037", "runtime/degraded"],
  ["has the link up at once", "SNP-161", "runtime/snapshot/link"],
  ["says nothing of emulation", "IDX-005", "runtime/platforms/of-another-architecture"],
  ["commits onto anything", "BLD-003", "runtime/commit-onto-what-it-has-not-written"],
  ["has a command line of its own", "GST-010", "runtime/bzimage"],
  ["hands on what Ignition was told", "FBC-014", "runtime/snapshot/ignition-is-gone"],
  ["takes commas for ends", "SEC-020", "runtime/texts-that-are-no-options"],
  ["wakes nobody who is called", "STA-062", "runtime/standby-that-listens"],
  ["deletes its record alone", "CNF-053", "runtime/delete"],
  ["says stopped and lets it run", "STA-020", "runtime/stop"],
  ["ignores unknown members of what it only makes", "API-011", "runtime/unknown-member-named"],
  ["loses lines of consoles", "API-070", "runtime/boots"],
  ["tells of no exit", "API-230", "runtime/events"],
  ["calls a start that was given up failed", "STA-003", "runtime/stop-of-the-starting"],
  ["looks at the day of since", "API-075", "runtime/logs-since"],
  ["counts no processor time", "API-220", "runtime/metrics"],
])

/** ovm, but it takes its policy otherwise (lax.ts). */
export const OPERATORS: readonly Mutant[] = of([
  ["has no policy", "API-029", "runtime/policy/whoever-asks"],
  ["reads its policy once", "POL-008", "runtime/policy/changed-meanwhile"],
  ["runs under a broken policy", "POL-006", "runtime/policy/invalid"],
  ["takes the scope of the host", "POL-012", "runtime/policy/most-specific-scope"],
  ["takes no scope of a tag", "POL-012", "runtime/policy/most-specific-scope"],
  ["judges paths as all else", "POL-014", "runtime/policy/local-scope"],
  ["holds one requirement", "POL-021", "runtime/policy/changed-meanwhile"],
  ["takes what says nothing", "POL-043", "runtime/policy/for-whom"],
  ["compares no tags", "POL-041", "runtime/policy/for-whom"],
  ["knows whose a path is", "POL-045", "runtime/policy/identity-of-a-path"],
  ["has no bounds", "LIM-011", "runtime/bounds/machines"],
  ["asks for no conditions", "POL-050", "runtime/policy/attested"],
  ["knows no age", "POL-061", "runtime/policy/age"],
  ["judges snapshots as machines", "POL-075", "runtime/policy/snapshot-rejected"],
  ["takes any signer of a snapshot", "POL-073", "runtime/policy/snapshot-same-signer"],
  ["says not what it judged", "POL-086", "runtime/policy/whoever-asks"],
  ["knows no use of a volume elsewhere", "VOL-010", "runtime/volume-of-another-runtime"],
  ["knows no Secure Boot", "UEF-022", "runtime/adapter/secure-boot-that-it-has-not"],
])

/** ovm, but it is started otherwise (starters.test.ts). */
export const STARTERS: readonly Mutant[] = of([
  ["leaves its socket to others", "API-492", "runtime/socket-that-is-nobody-elses"],
  ["knows no folder of configuration", "POL-007", "runtime/defaults/places-of-a-user"],
])

/** ovm on a host of the suite's own, wrong in all of this at once (neighbours.ts). */
export const NEIGHBOURS: readonly Mutant[] = of([
  ["forgets its networks", "NET-015", "runtime/networks/outlive-their-runtime"],
  ["leaves rules of a network behind", "NET-013", "runtime/networks/made-and-removed"],
  ["says not who goes out", "NET-012", "runtime/networks/machine"],
  ["says nothing of ports that close", "API-275", "runtime/networks/port-that-closes"],
  ["is late to serve again", "NET-016", "runtime/networks/served-again"],
  ["has children in a network", "API-451", "runtime/networks/fork"],
])

/** The example adapter, but something is between (adapter.ts). */
export const ADAPTERS: readonly Mutant[] = of([
  ["says another name", "ADP-010", "adapter/first-line"],
  ["answers with another number", "ADP-011", "adapter/capabilities"],
  ["has codes of its own", "ADP-011", "adapter/unknown-verb"],
  ["finds one thing", "ADP-031", "adapter/finds-everything"],
  ["runs a relative program", "ADP-032", "adapter/boots"],
  ["calls what runs still", "ADP-035", "adapter/pause"],
  ["calls every end a reset", "ADP-040", "adapter/ends-by-guest-panic"],
  ["guesses how it ended", "ADP-040", "adapter/ends-by-signal"],
  ["calls all that fails away", "ADP-034", "adapter/never-ran"],
  ["leaves volumes away", "ADP-053", "adapter/disks-in-their-order"],
  ["leaves an initrd away", "ADP-053", "adapter/initrd"],
  ["has one processor", "ADP-053", "adapter/processors"],
  ["connects no interface", "ADP-053", "adapter/frames"],
  ["has an interface of its own", "ADP-053", "adapter/nothing-besides"],
  ["has an ID of its own", "ADP-055", "adapter/generation-id"],
  ["leaves a process", "ADP-022", "adapter/ends-with-its-input"],
  ["outlives its input", "ADP-015", "adapter/ends-with-its-input"],
])

/** ovm's agent, but something is between (agent.ts). */
export const AGENTS: readonly Mutant[] = of([
  ["does not say that it started", "AGT-015", "agent/says-that-it-started"],
  ["calls errors output", "AGT-030", "agent/output-and-errors"],
  ["calls signals statuses", "AGT-034", "agent/output-and-errors"],
  ["does not say why", "AGT-021", "agent/what-it-cannot-do"],
  ["calls all programs missing", "AGT-036", "agent/not-to-be-started"],
  ["calls all well", "AGT-064", "agent/read"],
  ["has an environment of its own", "AGT-134", "agent/environment"],
  ["has no terminals", "AGT-031", "agent/session-of-its-own"],
  ["is deaf after what is new", "AGT-133", "agent/what-it-does-not-know"],
])
