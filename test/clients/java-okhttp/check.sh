# Java, openapi-generator, library okhttp-gson
source "$CLIENTS/java.sh"
generate java --library okhttp-gson
mkdir -p src/main
mv client/src/main/java src/main/java
mv Call.java src/main/java
mvn -q -B -Dstyle.color=never compile org.codehaus.mojo:exec-maven-plugin:3.5.0:java -Dexec.mainClass=Call
