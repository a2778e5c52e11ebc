// Stands in for the package JsonSubTypes, which Debian has not: the generated files name its namespace.
namespace JsonSubTypes { }
