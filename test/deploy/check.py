#!/usr/bin/env python3
"""The manifests of deploy/ against the models of the Kubernetes and KServe clients: every field must be one that its kind has, of its type.

    pip install kubernetes kserve check-jsonschema
    python3 test/deploy/check.py && check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
"""

import re
import sys
from pathlib import Path

import kserve
import kubernetes.client.models as kinds
import yaml

ROOT = Path(__file__).parents[2] / "deploy"
PLAIN = {"str": str, "int": int, "float": (int, float), "bool": bool, "datetime": str}
#: the client has no model of these: their specs are
SPECS = {"ClusterServingRuntime": "V1alpha1ServingRuntimeSpec"}
faults: list[str] = []
checked = 0


def model(name: str) -> type | None:
    return getattr(kinds, name, None) or getattr(kserve, name, None) or getattr(kserve.models, name, None)


def check(value: object, kind: str, path: str) -> None:
    global checked
    checked += 1
    if listed := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            faults.append(f"{path}: expected a list, got {value!r}")
            return
        for index, item in enumerate(value):
            check(item, listed[1], f"{path}/{index}")
    elif mapped := re.fullmatch(r"dict\(str, (.*)\)", kind):
        for key, item in dict(value).items():  # type: ignore[call-overload]
            check(item, mapped[1], f"{path}/{key}")
    elif kind in PLAIN:
        if not isinstance(value, PLAIN[kind]) or (isinstance(value, bool) and kind != "bool"):
            faults.append(f"{path}: expected {kind}, got {value!r}")
    elif kind != "object" and (of := model(kind)):
        names = {name: attribute for attribute, name in of.attribute_map.items()}
        for key, item in dict(value).items():  # type: ignore[call-overload]
            if key not in names:
                faults.append(f"{path}/{key}: no field of {kind}")
            else:
                check(item, of.openapi_types[names[key]], f"{path}/{key}")


def version(api: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in api.split("/")[-1:])


for file in sorted([*ROOT.glob("kubernetes/*.yaml"), *ROOT.glob("kserve/*.yaml")]):
    for document in yaml.safe_load_all(file.read_text()):
        kind, name = document["kind"], f"{file.relative_to(ROOT.parent)} {document['kind']}"
        if kind in ("Kustomization", "Component"):
            continue
        if kind in SPECS:
            check(document["metadata"], "V1ObjectMeta", f"{name}/metadata")
            check(document["spec"], SPECS[kind], f"{name}/spec")
        elif model(version(document["apiVersion"]) + kind):
            check(document, version(document["apiVersion"]) + kind, name)
        else:
            faults.append(f"{name}: no model of it")

print("\n".join(faults) or f"{checked} fields are as their kinds have them")
sys.exit(1 if faults else 0)
