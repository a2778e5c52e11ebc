# Sourced by the checks that use openapi-generator: its jar comes from Maven Central.
VERSION=7.25.0
JAR="$HOME/.m2/repository/org/openapitools/openapi-generator-cli/$VERSION/openapi-generator-cli-$VERSION.jar"
test -f "$JAR" || mvn -q dependency:get -Dartifact=org.openapitools:openapi-generator-cli:$VERSION -Dtransitive=false

# generate GENERATOR [OPTIONS]: into the folder client
generate() {
  java -jar "$JAR" generate -g "$@" -i "$OPENAPI30" -o client > generate.log 2>&1 || { tail -40 generate.log; exit 1; }
}
