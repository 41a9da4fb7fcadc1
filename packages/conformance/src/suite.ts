import type { Check } from "./check.ts"
import { adapterAmountPlans } from "./checks/adapter/amounts.ts"
import { adapterDiskPlans } from "./checks/adapter/disk.ts"
import { adapterEndPlans } from "./checks/adapter/ends-early.ts"
import { adapterFramesPlans } from "./checks/adapter/frames.ts"
import { adapterFurtherPlans } from "./checks/adapter/further-life.ts"
import { adapterHonoursPlans } from "./checks/adapter/honours.ts"
import { adapterLifePlans } from "./checks/adapter/life.ts"
import { linePlans } from "./checks/adapter/lines.ts"
import { onAdapter } from "./checks/adapter/plan.ts"
import { agentPlans } from "./checks/agent/all.ts"
import { agentProgramPlans } from "./checks/agent-program/commands.ts"
import { agentFilePlans } from "./checks/agent-program/files.ts"
import { agentSurroundingPlans } from "./checks/agent-program/surroundings.ts"
import { containerInAMachine } from "./checks/build/container-in-a-machine.ts"
import { dockerfiles } from "./checks/build/dockerfiles.ts"
import { inAMachine } from "./checks/build/in-a-machine.ts"
import { buildPolicies } from "./checks/build/policy.ts"
import { provenance } from "./checks/build/provenance.ts"
import { credentialChecks } from "./checks/credentials.ts"
import { declaredChecks } from "./checks/declared.ts"
import { goldenChecks } from "./checks/golden.ts"
import { identityChecks } from "./checks/identities.ts"
import { importChecks } from "./checks/import/all.ts"
import { inspectChecks } from "./checks/inspect.ts"
import { keptChecks } from "./checks/kept.ts"
import { keptAlongChecks } from "./checks/kept-along.ts"
import { containerPlans } from "./checks/linux/container.ts"
import { linuxFullDiskPlans } from "./checks/linux/full-disk.ts"
import { linuxInsidePlans } from "./checks/linux/inside.ts"
import { linuxSnapshotPlans } from "./checks/linux/snapshot.ts"
import { networkChangePlans } from "./checks/networks/changes.ts"
import { networkImpostorPlans } from "./checks/networks/impostors.ts"
import { networkInsidePlans } from "./checks/networks/inside.ts"
import { networkLiarPlans } from "./checks/networks/liars.ts"
import { networkMachinePlans } from "./checks/networks/machine.ts"
import { networkLifePlans } from "./checks/networks/made.ts"
import { namesAnewPlans } from "./checks/networks/names-anew.ts"
import { noWayOutPlans } from "./checks/networks/no-way-out.ts"
import { networkOutsidePlans } from "./checks/networks/outside.ts"
import { packChecks } from "./checks/pack.ts"
import { packRefusals } from "./checks/pack-refusals.ts"
import { policyPlans } from "./checks/policy/all.ts"
import { pullChecks } from "./checks/pull.ts"
import { pullFaultChecks } from "./checks/pull-faults.ts"
import { pullLieChecks } from "./checks/pull-lies.ts"
import { pushChecks } from "./checks/push.ts"
import { indexPushes } from "./checks/push-index.ts"
import { registryChecks } from "./checks/registry.ts"
import { acceleratorPlans } from "./checks/runtime/accelerator.ts"
import { againPlans } from "./checks/runtime/again.ts"
import { biosPlans } from "./checks/runtime/bios.ts"
import { bodyPlans } from "./checks/runtime/bodies.ts"
import { boundPlans } from "./checks/runtime/bounds.ts"
import { bzImagePlans } from "./checks/runtime/bzimage.ts"
import { cloneDiskPlans } from "./checks/runtime/clone-disks.ts"
import { committedPlans } from "./checks/runtime/committed.ts"
import { crowdPlans } from "./checks/runtime/crowds.ts"
import { defaultPlans } from "./checks/runtime/defaults.ts"
import { diskVectorPlans } from "./checks/runtime/disk-vectors.ts"
import { diskPlans } from "./checks/runtime/disks.ts"
import { endedWhileTakenPlans } from "./checks/runtime/ended-while-taken.ts"
import { firstBootPlans } from "./checks/runtime/first-boot.ts"
import { fittingPlans } from "./checks/runtime/fitting.ts"
import { forkPlans } from "./checks/runtime/fork.ts"
import { fullDiskPlans } from "./checks/runtime/full.ts"
import { handedOnPlans } from "./checks/runtime/handed-on.ts"
import { layerPlans } from "./checks/runtime/layers.ts"
import { lifePlans } from "./checks/runtime/life.ts"
import { linkPlans } from "./checks/runtime/links.ts"
import { madePlans } from "./checks/runtime/made.ts"
import { mislabelledPlans } from "./checks/runtime/mislabelled.ts"
import { moreSnapshotPlans } from "./checks/runtime/more-snapshots.ts"
import { namePlans } from "./checks/runtime/names.ts"
import { networkPlans } from "./checks/runtime/network.ts"
import { nextLifePlans } from "./checks/runtime/next-life.ts"
import { partPlans } from "./checks/runtime/parts.ts"
import { passedOnPlans } from "./checks/runtime/passed-on.ts"
import { onRuntime } from "./checks/runtime/plan.ts"
import { platformPlans } from "./checks/runtime/platforms.ts"
import { portThatClosesPlans } from "./checks/runtime/port-that-closes.ts"
import { pullingPlans } from "./checks/runtime/pulling.ts"
import { remadePlans } from "./checks/runtime/remade.ts"
import { requestVectorPlans } from "./checks/runtime/request-vectors.ts"
import { requestPlans } from "./checks/runtime/requests.ts"
import { restartPlans } from "./checks/runtime/restart.ts"
import { sharePlans } from "./checks/runtime/shares.ts"
import { snapshotFirmwarePlans } from "./checks/runtime/snapshot-firmware.ts"
import { snapshotRefusalPlans } from "./checks/runtime/snapshot-refusals.ts"
import { snapshotPlans } from "./checks/runtime/snapshots.ts"
import { socketPlans } from "./checks/runtime/socket.ts"
import { standbyPlans } from "./checks/runtime/standby.ts"
import { stopPlans } from "./checks/runtime/stops.ts"
import { streamPlans } from "./checks/runtime/streams.ts"
import { takesNothingPlans } from "./checks/runtime/takes-nothing.ts"
import { tpmPlans } from "./checks/runtime/tpm.ts"
import { uefiPlans } from "./checks/runtime/uefi.ts"
import { unreachablePlans } from "./checks/runtime/unreachable.ts"
import { volumeElsewherePlans } from "./checks/runtime/volume-elsewhere.ts"
import { vsockPlans } from "./checks/runtime/vsock.ts"
import { writtenPlans } from "./checks/runtime/written.ts"
import { runtimeAdapterPlans } from "./checks/runtime-adapter/adapters.ts"
import { signChecks } from "./checks/sign.ts"
import { signerChecks } from "./checks/signers.ts"
import { terminalChecks } from "./checks/terminal.ts"
import { tlsChecks } from "./checks/tls.ts"
import { vectorChecks } from "./checks/vectors.ts"
import { verifyChecks } from "./checks/verify.ts"
import { verifyIndexChecks } from "./checks/verify-index.ts"
import { verifyPlaceChecks } from "./checks/verify-places.ts"
import { waitChecks } from "./checks/waits.ts"
import type { Adapter } from "./subject/adapter.ts"
import type { Agent } from "./subject/agent.ts"
import type { Remote } from "./subject/remote.ts"
import type { Runtime } from "./subject/runtime.ts"
import type { Wrapper } from "./subject/wrapper.ts"
import { loadVectors } from "./vectors.ts"

/** All checks, by the kind of subject that they are about. */
export interface Suite {
  readonly wrapper: readonly Check<Wrapper>[]
  readonly runtime: readonly Check<Runtime>[]
  readonly adapter: readonly Check<Adapter>[]
  readonly agent: readonly Check<Agent>[]
  readonly registry: readonly Check<Remote>[]
}

export async function loadSuite(): Promise<Suite> {
  const vectors = await loadVectors()
  const requests = [
    ...requestPlans,
    ...bodyPlans,
    ...requestVectorPlans(vectors),
    ...diskVectorPlans(vectors),
  ]
  const made = [
    ...madePlans,
    ...namePlans,
    ...networkPlans,
    ...portThatClosesPlans,
    ...socketPlans,
    ...passedOnPlans,
    ...boundPlans,
    ...crowdPlans,
    ...diskPlans,
    ...vsockPlans,
    ...firstBootPlans,
    ...layerPlans,
    ...volumeElsewherePlans,
    ...sharePlans,
    ...platformPlans,
    ...defaultPlans,
    ...handedOnPlans,
    ...takesNothingPlans,
  ]
  const machines = [
    ...lifePlans,
    ...nextLifePlans,
    ...againPlans,
    ...biosPlans,
    ...bzImagePlans,
    ...pullingPlans,
    ...streamPlans,
    ...restartPlans,
    ...acceleratorPlans,
    ...unreachablePlans,
    ...stopPlans,
    ...fullDiskPlans,
    ...committedPlans,
    ...standbyPlans,
    ...partPlans,
    ...linkPlans,
    ...uefiPlans,
    ...tpmPlans,
    ...runtimeAdapterPlans,
    ...networkLifePlans,
    ...networkMachinePlans,
    ...noWayOutPlans,
  ]
  const snapshots = [
    ...snapshotPlans,
    ...snapshotFirmwarePlans,
    ...snapshotRefusalPlans,
    ...fittingPlans,
    ...cloneDiskPlans,
    ...forkPlans,
    ...moreSnapshotPlans,
    ...writtenPlans,
    ...remadePlans,
    ...mislabelledPlans,
    ...endedWhileTakenPlans,
  ]
  return {
    wrapper: [
      ...vectorChecks(vectors),
      ...packChecks,
      ...packRefusals,
      ...inspectChecks,
      ...goldenChecks,
      ...pullChecks,
      ...pullFaultChecks,
      ...pullLieChecks,
      ...keptAlongChecks,
      ...pushChecks,
      ...indexPushes,
      ...signChecks,
      ...verifyChecks,
      ...verifyPlaceChecks,
      ...verifyIndexChecks,
      ...identityChecks,
      ...keptChecks,
      ...declaredChecks,
      ...terminalChecks,
      ...tlsChecks,
      ...waitChecks,
      ...signerChecks,
      ...credentialChecks,
      ...importChecks,
      ...dockerfiles,
      ...provenance,
      ...buildPolicies,
      ...inAMachine,
      ...containerInAMachine,
    ],
    runtime: [
      ...requests,
      ...made,
      ...machines,
      ...snapshots,
      ...policyPlans,
      ...agentPlans,
      ...containerPlans,
      ...linuxInsidePlans,
      ...linuxFullDiskPlans,
      ...linuxSnapshotPlans,
      ...networkChangePlans,
      ...networkInsidePlans,
      ...networkOutsidePlans,
      ...networkLiarPlans,
      ...networkImpostorPlans,
      ...namesAnewPlans,
    ].map(onRuntime),
    adapter: [
      ...linePlans,
      ...adapterLifePlans,
      ...adapterFurtherPlans,
      ...adapterDiskPlans,
      ...adapterHonoursPlans,
      ...adapterAmountPlans,
      ...adapterFramesPlans,
      ...adapterEndPlans,
    ].map(onAdapter),
    agent: [...agentProgramPlans, ...agentSurroundingPlans, ...agentFilePlans],
    registry: registryChecks,
  }
}
