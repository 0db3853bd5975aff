"""MiniStack with what it lacks of CloudFormation's types and of AWS's ways, in one process.

Runs in MiniStack's own Python environment, started by `ministack.py` of the
folder above, by `python -I` so that file does not hide the package of that
name. The modules act on the emulator's own stores: what a template makes is
what the services' describe calls show. Which variables of the environment a
module heeds stands at its top.
"""

import buckets
import databases
import edge
import functions
import network
import protection
import rights
import watching
from ministack import app
from ministack.services.cloudformation import provisioners


if __name__ == "__main__":
    for part in (network, databases, buckets, functions, watching, edge, rights, protection):
        part.register(provisioners._RESOURCE_HANDLERS)
    app.main()
