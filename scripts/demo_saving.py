"""Save a model through a mounted directory, load it again, and look at what the bucket then has.

The saving is ordinary PyTorch; the look into the bucket goes past the mount, by boto3, to the store
that the environment names (``AWS_ENDPOINT_URL`` and credentials).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import time
from pathlib import Path

import boto3
import torch
from torchvision.models.resnet import BasicBlock, ResNet

NAME = "checkpoints/last.pt"


def make_checkpoint() -> dict[str, object]:
    """Return what training saves: a ResNet of 45 MB with the state of its optimizer, 134 MB."""
    torch.manual_seed(0)
    model = ResNet(BasicBlock, [2, 2, 2, 2])
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.rand(2, 3, 64, 64)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def check_equal(saved: object, loaded: object) -> int:
    """Compare two nested states; return how many tensors there are.

    Raises:
        AssertionError: they differ.
    """
    if isinstance(saved, torch.Tensor):
        assert isinstance(loaded, torch.Tensor)
        assert torch.equal(saved, loaded), "a tensor has changed"
        return 1
    if isinstance(saved, dict):
        assert isinstance(loaded, dict)
        assert saved.keys() == loaded.keys(), "there are other names"
        return sum(check_equal(saved[name], loaded[name]) for name in saved)
    assert saved == loaded, f"{saved!r} has become {loaded!r}"
    return 0


def main() -> None:
    """Save, load, and compare with the object in the bucket."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mountpoint", type=Path)
    parser.add_argument("bucket")
    parser.add_argument("prefix", help="what of the bucket is mounted, with a slash at the end")
    arguments = parser.parse_args()
    path = arguments.mountpoint / NAME
    checkpoint = make_checkpoint()

    path.parent.mkdir()
    started = time.perf_counter()
    torch.save(checkpoint, path)
    seconds = time.perf_counter() - started
    size = path.stat().st_size
    print(f"    torch.save({str(path)!r}): {size / 1e6:.1f} MB in {seconds:.1f} s")

    # The close has returned, so it is there: nothing is waited for.
    client = boto3.client("s3")
    key = arguments.prefix + NAME
    found = client.head_object(Bucket=arguments.bucket, Key=key)
    body = client.get_object(Bucket=arguments.bucket, Key=key)["Body"].read()
    client.close()
    print(f"    in the bucket: s3://{arguments.bucket}/{key}")
    print(f"        {found['ContentLength']:,} bytes, ETag {found['ETag']}")
    assert len(body) == found["ContentLength"] == size, "the sizes differ"
    digest = hashlib.sha256(body).hexdigest()
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest(), "the contents differ"
    count = check_equal(checkpoint, torch.load(io.BytesIO(body), weights_only=True))
    print(f"        SHA-256 {digest}, the same as of the file; all {count} tensors are right")

    started = time.perf_counter()
    check_equal(checkpoint, torch.load(path, weights_only=True))
    seconds = time.perf_counter() - started
    print(f"    torch.load({str(path)!r}): all {count} tensors are right, in {seconds:.1f} s")


if __name__ == "__main__":
    main()
