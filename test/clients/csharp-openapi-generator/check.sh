# C#, openapi-generator, library httpclient, compiled by Debian's mono with its Newtonsoft.Json.
source "$CLIENTS/java.sh"
generate csharp --library httpclient --additional-properties=packageName=AttentionClient,targetFramework=net48,supportsRetry=false
json=/usr/lib/cli/Newtonsoft.Json-5.0/Newtonsoft.Json.dll
if ! command -v mcs > /dev/null || ! test -f "$json"; then
  apt-get update -q > apt.log
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends mono-mcs mono-runtime \
    libnewtonsoft-json5.0-cil libmono-system-net-http4.0-cil libmono-system-web4.0-cil \
    libmono-system-runtime-serialization4.0-cil libmono-system-componentmodel-dataannotations4.0-cil >> apt.log
fi
# Debian's is older than naming strategies; every member says its name, so that they have nothing to do
find client/src/AttentionClient -name '*.cs' -exec \
  perl -0pi -e 's/NamingStrategy = new CamelCaseNamingStrategy\s*\{[^}]*\}//g' {} +
cp "$json" .
mcs -langversion:latest -nowarn:618 -out:call.exe -r:Newtonsoft.Json.dll -r:System.Net.Http -r:System.Web \
  -r:System.Runtime.Serialization -r:System.ComponentModel.DataAnnotations \
  Call.cs JsonSubTypes.cs $(find client/src/AttentionClient -name '*.cs')
mono call.exe
