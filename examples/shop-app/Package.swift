// swift-tools-version: 6.1
import PackageDescription

let package = Package(
  name: "shop-app",
  dependencies: [
    // In a project of your own: .package(url: "…", from: "…")
    .package(name: "martlet", path: "../..")
  ],
  targets: [
    .executableTarget(
      name: "ShopApp", dependencies: [.product(name: "Martlet", package: "martlet")],
      swiftSettings: [.swiftLanguageMode(.v6)])
  ]
)
