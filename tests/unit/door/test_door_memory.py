from pathlib import Path

SIZE = 200 << 20


class Pattern:
    """A large body that is never in memory: ``SIZE`` bytes, readable and seekable as uploads need it."""

    def __init__(self):
        self.at = 0

    def read(self, size=-1):
        take = SIZE - self.at if size is None or size < 0 else min(size, SIZE - self.at)
        self.at += take
        return bytes(take)

    def seek(self, offset, whence=0):
        self.at = offset + (0, self.at, SIZE)[whence]
        return self.at

    def tell(self):
        return self.at


def resident(process):
    """Bytes of memory the process has, and the most it ever had."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return int(values["VmRSS"].split()[0]) << 10, int(values["VmHWM"].split()[0]) << 10


def test_memory_does_not_grow_with_the_object(spawn, tmp_path):
    process, endpoint = spawn(tmp_path / "door")
    client = endpoint.client(request_checksum_calculation="when_required")
    client.create_bucket(Bucket="big")
    client.put_object(Bucket="big", Key="warm", Body=bytes(1 << 20))
    client.get_object(Bucket="big", Key="warm")["Body"].read()
    before, _ = resident(process)
    client.put_object(Bucket="big", Key="k", Body=Pattern())
    got = 0
    with client.get_object(Bucket="big", Key="k")["Body"] as body:
        while block := body.read(4 << 20):
            got += len(block)
    assert got == SIZE
    _, most = resident(process)
    assert most - before < 64 << 20
