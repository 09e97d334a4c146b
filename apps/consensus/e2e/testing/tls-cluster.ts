import { TestAuthority, type IssuedFiles } from '@synod/test-authority';
import { TestCluster, type TestMember } from '../test-cluster';

/** Three members as etcd would be started with TLS on every port and certificates required; the files are in the cluster's folder, by member. */
export class TlsCluster {
  private constructor(
    readonly cluster: TestCluster,
    /** Of clients. */
    readonly clients: TestAuthority,
    /** Of members among themselves. */
    readonly peers: TestAuthority,
    /** The file with the authority of clients. */
    readonly ca: string,
    /** Named `client`. */
    readonly client: IssuedFiles,
  ) {}

  static async start(): Promise<TlsCluster> {
    const cluster = await TestCluster.plan(3);
    const clients = await TestAuthority.create('clients');
    const peers = await TestAuthority.create('peers');
    const ca = clients.write(cluster.folder, 'clients');
    peers.write(cluster.folder, 'peers');
    const client = await clients.issue(cluster.folder, 'client');
    for (const { id } of cluster.members) {
      await clients.issue(cluster.folder, `${id}-client`);
      await peers.issue(cluster.folder, `${id}-peer`);
    }
    const started = new TlsCluster(cluster, clients, peers, ca, client);
    for (const member of cluster.members) started.run(member);
    await cluster.ready();
    return started;
  }

  /** Clients' URLs of all members. */
  get urls(): string[] {
    return this.cluster.endpoints.map((address) => `https://${address}`);
  }

  run(member: TestMember): void {
    const { id, ports, folder } = member;
    const [clientUrl, peerUrl] = [`https://127.0.0.1:${ports.client}`, `https://127.0.0.1:${ports.peer}`];
    const listed = this.cluster.members.map((each) => `${each.id}=https://127.0.0.1:${each.ports.peer}`).join();
    member.run([
      ...['--name', id, '--data-dir', folder, '--initial-cluster', listed, '--founding-storage-nodes', '1'],
      ...['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl],
      ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
      ...['--cert-file', `${folder}-client.pem`, '--key-file', `${folder}-client.key`],
      ...['--trusted-ca-file', this.ca, '--client-cert-auth'],
      ...['--peer-cert-file', `${folder}-peer.pem`, '--peer-key-file', `${folder}-peer.key`],
      ...['--peer-trusted-ca-file', `${this.cluster.folder}/peers.pem`, '--peer-client-cert-auth=true'],
    ]);
  }
}
