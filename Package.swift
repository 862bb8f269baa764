// swift-tools-version: 6.1
import PackageDescription

/// Upcoming features that the house style asks for, the same for every target of ours.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

// Swift 6.3.1's optimiser crashes on `dump`, or makes a program that does: no speed is needed here.
let unoptimised = strict + [.unsafeFlags(["-Onone"], .when(configuration: .release))]

let package = Package(
  name: "martlet",
  products: [
    .executable(name: "martlet", targets: ["MartletCLI"]),
    .library(name: "Martlet", targets: ["Martlet"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    .systemLibrary(
      name: "CLibMongoc", pkgConfig: "libmongoc-1.0", providers: [.apt(["libmongoc-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(
      name: "CDeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
    .systemLibrary(name: "CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
    .systemLibrary(name: "CMalloc"),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "CLZMA", pkgConfig: "liblzma", providers: [.apt(["liblzma-dev"])]),
    .target(name: "BSON", swiftSettings: strict),
    .target(name: "Fingerprint", dependencies: ["CXXHash"], swiftSettings: strict),
    .target(name: "MongoDB", dependencies: ["BSON", "CLibMongoc"], swiftSettings: strict),
    .target(
      name: "Migration",
      dependencies: [
        "BSON", "MongoDB", "Yams",
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: strict),
    .target(
      name: "Dump",
      dependencies: [
        "BSON", "MongoDB", "Fingerprint", "CZlib", "CDeflate", "CISAL", "CLZMA", "CMalloc",
      ],
      swiftSettings: strict),
    .target(
      name: "Validation", dependencies: ["BSON", "MongoDB", "Fingerprint", "Yams"],
      swiftSettings: strict),
    .target(
      name: "Backup",
      dependencies: [
        "BSON", "MongoDB", "Fingerprint", "Dump", .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: strict),
    .target(
      name: "Commands",
      dependencies: [
        "BSON", "MongoDB", "Migration", "Dump", "Backup", "Validation", "Fingerprint", "Yams",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: unoptimised),
    .target(
      name: "Martlet", dependencies: ["BSON", "MongoDB", "Migration"], swiftSettings: strict),
    .executableTarget(name: "MartletCLI", dependencies: ["Commands"], swiftSettings: strict),
    .target(
      name: "TestSupport", dependencies: ["BSON", "MongoDB"], path: "Tests/TestSupport",
      swiftSettings: strict),
    .testTarget(name: "BSONTests", dependencies: ["BSON", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "MongoDBTests", dependencies: ["BSON", "MongoDB", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "CrashTests", dependencies: ["BSON", "MongoDB", "Migration", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "DumpTests", dependencies: ["BSON", "MongoDB", "Fingerprint", "Dump", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "MigrationTests", dependencies: ["BSON", "MongoDB", "Migration", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "MartletTests", dependencies: ["Martlet", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "ValidationTests",
      dependencies: ["BSON", "MongoDB", "Fingerprint", "Validation", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "BackupTests",
      dependencies: ["BSON", "MongoDB", "Fingerprint", "Dump", "Backup", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "CommandsTests",
      dependencies: [
        "BSON", "MongoDB", "Migration", "Validation", "Commands", "TestSupport", "Yams",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),
  ]
)
