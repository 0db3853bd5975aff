"""A certificate authority of our own, which machines trust as they trust the public ones."""

from pathlib import Path

from enclosure import run

REGION = "us-east-1"
NAMES = [
    "*.amazonaws.com", "*.s3.amazonaws.com", f"*.{REGION}.amazonaws.com", f"*.s3.{REGION}.amazonaws.com", f"*.ecr.{REGION}.amazonaws.com",
    f"*.dkr.ecr.{REGION}.amazonaws.com", f"*.auth.{REGION}.amazoncognito.com",
]


class Authority:
    """Signs certificates; `file` is its own, in PEM."""

    def __init__(self, folder: Path, name: str):
        folder.mkdir(parents=True)
        self.folder = folder
        self.file = folder / "authority.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", folder / "authority.key", "-out", self.file)

    def certificate(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """A certificate for hosts, with its key, as files."""
        certificate, key, request = (self.folder / f"{name}.{ending}" for ending in ("pem", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName={','.join(f'DNS:{host}' for host in hosts)}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request)
        run("openssl", "x509", "-req", "-in", request, "-days", "2", "-CA", self.file, "-CAkey", self.folder / "authority.key",
            "-CAcreateserial", "-extfile", extensions, "-out", certificate)
        return certificate, key
